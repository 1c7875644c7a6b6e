// What was recorded so far: mono samples at 16 kHz.

import { RATE_HZ } from "./resampler.js";

export class Recording {
  #pieces = [];
  #length = 0;

  push(samples) {
    this.#pieces.push(samples);
    this.#length += samples.length;
  }

  get length() {
    return this.#length;
  }

  get seconds() {
    return this.#length / RATE_HZ;
  }

  /** The samples from this one on, in one piece. */
  from(start) {
    const samples = new Float32Array(Math.max(0, this.#length - start));
    let at = 0;
    for (const piece of this.#pieces) {
      const end = at + piece.length;
      if (end > start) samples.set(piece.subarray(Math.max(0, start - at)), Math.max(0, at - start));
      at = end;
    }
    return samples;
  }
}
