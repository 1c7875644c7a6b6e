// The transcript on the page: provisional words, then those that stay, then what is known about them.

import { duration, languageName } from "./times.js";
import { showTimings } from "./timings.js";

const at = (id) => document.getElementById(id);

export class Transcript {
  #words = at("words");
  #draft = at("draft");
  #nothing = at("nothing");
  #result = at("result");

  /** Words are awaited; provisional ones stay until the first comes. */
  begin() {
    this.#words.textContent = "";
    this.#result.hidden = true;
    at("saved").textContent = "";
  }

  /** Nothing was said. */
  clear() {
    this.begin();
    this.#draft.textContent = "";
    this.#nothing.textContent = "Your words appear here.";
    this.#nothing.hidden = false;
  }

  /** What may have been said so far; replaced by each that follows. No screen reader reads it out. */
  showDraft(text) {
    this.#draft.textContent = text;
    this.#nothing.hidden = text !== "";
  }

  /** Words that stay. */
  add(words) {
    this.#draft.textContent = "";
    this.#nothing.hidden = true;
    this.#words.append(words);
  }

  /** All words are there. `whole` and `toFirst` are seconds from sending, `wasDetected` whether no language was chosen. */
  finish(answer, { whole, toFirst, wasDetected }) {
    this.#draft.textContent = "";
    if (this.#words.textContent !== answer.text) this.#words.textContent = answer.text;
    this.#words.lang = answer.language;
    const isEmpty = answer.text === "";
    this.#nothing.textContent = "No speech was recognised.";
    this.#nothing.hidden = !isEmpty;
    this.#result.hidden = isEmpty;
    at("facts").textContent = facts(answer, { whole, toFirst, wasDetected });
    showTimings({ bar: at("timings-bar"), list: at("timings-list") }, answer.timings, whole);
  }

  /** There will be no more words: provisional ones were all there is. */
  giveUp() {
    if (this.#draft.textContent === "" && this.#words.textContent === "") this.clear();
  }
}

function facts(answer, { whole, toFirst, wasDetected }) {
  const name = answer.language ? languageName(answer.language) : "";
  const took = toFirst < whole - 0.2 ? `first words after ${duration(toFirst)}, all after ${duration(whole)}` : `words after ${duration(whole)}`;
  return [
    name && (wasDetected ? `${name}, detected` : name),
    `${duration(answer.usage.seconds)} of sound`,
    took,
  ].filter(Boolean).join(" · ");
}
