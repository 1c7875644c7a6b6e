// Samples at the microphone's rate → 16 kHz, piece by piece.

/** What Whisper hears. */
export const RATE_HZ = 16_000;

/** Zero crossings of the filter on each side: aliases are some 80 dB down. */
const CROSSINGS = 24;
/** Of the lower rate's half: where the filter begins to fall. */
const PASS = 0.92;

/** A windowed-sinc filter whose phases are computed once. */
export class Resampler {
  constructor(rateHz) {
    const common = gcd(rateHz, RATE_HZ);
    this.up = RATE_HZ / common;
    this.down = rateHz / common;
    const cutoff = PASS * Math.min(1, RATE_HZ / rateHz);
    this.reach = Math.ceil(CROSSINGS / cutoff);
    this.taps = 2 * this.reach;
    this.phases = phases(this.up, this.reach, cutoff);
    // The filter looks back: silence stands before the first sample.
    this.waiting = new Float32Array(this.reach - 1);
    // In input samples from the beginning of `waiting`, and in parts of one.
    this.at = this.reach - 1;
    this.phase = 0;
  }

  /** The samples at 16 kHz that are complete with this piece. */
  push(piece) {
    const input = new Float32Array(this.waiting.length + piece.length);
    input.set(this.waiting);
    input.set(piece, this.waiting.length);
    const output = [];
    while (this.at + this.reach < input.length) {
      output.push(this.sample(input));
      this.phase += this.down;
      this.at += Math.floor(this.phase / this.up);
      this.phase %= this.up;
    }
    const used = Math.min(input.length, this.at - this.reach + 1);
    this.waiting = input.slice(used);
    this.at -= used;
    return Float32Array.from(output);
  }

  /** What the filter holds back at the end. */
  flush() {
    return this.push(new Float32Array(this.reach));
  }

  sample(input) {
    const from = this.at - this.reach + 1;
    const base = this.phase * this.taps;
    let sum = 0;
    for (let tap = 0; tap < this.taps; tap += 1) sum += input[from + tap] * this.phases[base + tap];
    return sum;
  }
}

/** For each place between two input samples, the weights of those around it; their sum is 1. */
function phases(up, reach, cutoff) {
  const taps = 2 * reach;
  const all = new Float32Array(up * taps);
  for (let phase = 0; phase < up; phase += 1) {
    const weights = new Float64Array(taps);
    let sum = 0;
    for (let tap = 0; tap < taps; tap += 1) {
      const distance = tap - reach + 1 - phase / up;
      weights[tap] = sinc(cutoff * distance) * blackman(distance / reach);
      sum += weights[tap];
    }
    for (let tap = 0; tap < taps; tap += 1) all[phase * taps + tap] = weights[tap] / sum;
  }
  return all;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** 1 in the middle, 0 at −1 and 1. */
function blackman(x) {
  if (Math.abs(x) >= 1) return 0;
  return 0.42 + 0.5 * Math.cos(Math.PI * x) + 0.08 * Math.cos(2 * Math.PI * x);
}

function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}
