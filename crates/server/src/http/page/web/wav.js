// Samples → a WAV file: mono, 16 bits.

import { RATE_HZ } from "./resampler.js";

const HEAD_BYTES = 44;

/** `samples` at 16 kHz, within −1 to 1; louder ones are cut. */
export function wavOf(samples) {
  const bytes = new DataView(new ArrayBuffer(HEAD_BYTES + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, index) => bytes.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, bytes.byteLength - 8, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true);
  bytes.setUint16(22, 1, true);
  bytes.setUint32(24, RATE_HZ, true);
  bytes.setUint32(28, 2 * RATE_HZ, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, index) => {
    const whole = Math.round(Math.max(-1, Math.min(1, sample)) * 32_767);
    bytes.setInt16(HEAD_BYTES + 2 * index, whole, true);
  });
  return new Blob([bytes.buffer], { type: "audio/wav" });
}
