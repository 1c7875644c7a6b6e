// Where speech pauses, by loudness alone. Used only to decide when provisional words are asked for.

import { RATE_HZ } from "./resampler.js";

const FRAME = RATE_HZ / 50;
/** A pause is so long; after long speech without one, a breath is enough. */
const PAUSE_FRAMES = 15;
const BREATH_FRAMES = 5;
const LONG_SPEECH_FRAMES = 250;
/** Speech before it is at least so long: a cough is none. */
const SPEECH_FRAMES = 8;
/** Speech is so far above the noise, and never below this. */
const ABOVE_NOISE_DB = 9;
const QUIETEST_SPEECH_DB = -55;
/** How fast the noise floor follows a room that gets louder; one that gets quieter is followed at once. */
const FLOOR_RISE_DB = 0.1;
/** No room is quieter: microphones begin with zeros, and noise behind them is no speech. */
const LOWEST_FLOOR_DB = -62;
const SILENCE_DB = -90;

export class Pauses {
  #rest = new Float32Array(0);
  #floorDb = Infinity;
  #speech = 0;
  #silence = 0;

  /** Returns `{ levelDb, hasPaused }`: the loudest frame of this piece, and whether a pause was reached in it. */
  push(samples) {
    const all = new Float32Array(this.#rest.length + samples.length);
    all.set(this.#rest);
    all.set(samples, this.#rest.length);
    let levelDb = SILENCE_DB;
    let hasPaused = false;
    let at = 0;
    for (; at + FRAME <= all.length; at += FRAME) {
      const frameDb = loudness(all.subarray(at, at + FRAME));
      levelDb = Math.max(levelDb, frameDb);
      if (this.#frame(frameDb)) hasPaused = true;
    }
    this.#rest = all.slice(at);
    return { levelDb, hasPaused };
  }

  /** Takes one frame; true when it completes a pause after speech. */
  #frame(db) {
    this.#floorDb = Math.max(LOWEST_FLOOR_DB, Math.min(db, this.#floorDb + FLOOR_RISE_DB));
    const isSpeech = db > Math.max(this.#floorDb + ABOVE_NOISE_DB, QUIETEST_SPEECH_DB);
    if (isSpeech) {
      this.#speech += 1;
      this.#silence = 0;
      return false;
    }
    this.#silence += 1;
    const wanted = this.#speech < LONG_SPEECH_FRAMES ? PAUSE_FRAMES : BREATH_FRAMES;
    if (this.#silence < wanted || this.#speech < SPEECH_FRAMES) return false;
    this.#speech = 0;
    return true;
  }
}

/** Of full scale, in decibels. */
function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.max(SILENCE_DB, 10 * Math.log10(sum / samples.length + 1e-12));
}
