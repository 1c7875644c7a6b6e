// Provisional words while speech goes on. At a pause, what was said is sent as a request of its own; never two at once.

import { RATE_HZ } from "./resampler.js";

/** A passage that is longer is not sent again with what follows, so that a request stays short however long speech is. */
const LONGEST_PASSAGE = 20 * RATE_HZ;

export class Drafts {
  #running = null;
  #isWanted = false;
  #isOver = false;
  #abort = new AbortController();
  #from = 0;
  #settled = "";
  #notBefore = 0;

  /**
   * `recording`: where samples come from. `send(samples, signal)` resolves to their text, `show(text)` gets all
   * provisional words, `complain(error)` is told why there are none.
   */
  constructor({ recording, send, show, complain }) {
    Object.assign(this, { recording, send, show, complain });
  }

  /** Speech has paused. */
  pause() {
    if (this.#isOver || performance.now() < this.#notBefore) return;
    this.#isWanted = true;
    this.#running ??= this.#run().finally(() => { this.#running = null; });
  }

  /** Resolves once no request is running; none begins any more. */
  async stop() {
    this.#isOver = true;
    this.#abort.abort();
    await this.#running;
  }

  async #run() {
    while (this.#isWanted && !this.#isOver) {
      this.#isWanted = false;
      try {
        await this.#once();
      } catch (error) {
        if (this.#isOver) return;
        this.#notBefore = performance.now() + 1_000 * (error.retryAfterS ?? 5);
        this.#isOver = Boolean(error.isAboutKey);
        this.complain(error);
        return;
      }
    }
  }

  async #once() {
    const end = this.recording.length;
    if (end === this.#from) return;
    const samples = this.recording.from(this.#from);
    const text = (await this.send(samples, this.#abort.signal)).trim();
    if (this.#isOver) return;
    const all = [this.#settled, text].filter(Boolean).join(" ");
    if (end - this.#from > LONGEST_PASSAGE) {
      this.#settled = all;
      this.#from = end;
    }
    this.show(all);
  }
}
