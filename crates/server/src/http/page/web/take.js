// One recording: from the microphone to samples at 16 kHz, and to provisional words on the way.

import { Drafts } from "./drafts.js";
import { openMicrophone } from "./microphone.js";
import { Pauses } from "./pauses.js";
import { Recording } from "./recording.js";
import { Resampler } from "./resampler.js";

export class Take {
  recording = new Recording();
  #pauses = new Pauses();
  #resampler = null;
  #microphone = null;
  #drafts;
  #onLevel;

  /**
   * `send(samples, signal)` resolves to the text of a passage, `onDraft(text)` gets all provisional words,
   * `onFault(error)` is told why there are none, `onLevel(db)` how loud each block is.
   */
  constructor({ send, onDraft, onFault, onLevel }) {
    this.#drafts = new Drafts({ recording: this.recording, send, show: onDraft, complain: onFault });
    this.#onLevel = onLevel;
  }

  /** Opens the microphone; rejects with the reason where there is none. `onGone` is called when it is taken away. */
  async begin(onGone) {
    this.#microphone = await openMicrophone({
      onSamples: (block, rateHz) => {
        this.#resampler ??= new Resampler(rateHz);
        this.#pass(this.#resampler.push(block));
      },
      onEnd: onGone,
    });
  }

  /** Closes the microphone; resolves to the recording once no request for provisional words runs. */
  async end() {
    const drafted = this.#drafts.stop();
    await this.#microphone.close();
    if (this.#resampler) this.#pass(this.#resampler.flush());
    await drafted;
    return this.recording;
  }

  #pass(samples) {
    this.recording.push(samples);
    const { levelDb, hasPaused } = this.#pauses.push(samples);
    this.#onLevel(levelDb);
    if (hasPaused) this.#drafts.pause();
  }
}
