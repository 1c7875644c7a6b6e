// Earlier transcripts, kept by this browser only: the words and the time, no sound.

import { copyBy } from "./save.js";
import { languageName } from "./times.js";

const KEPT_AS = "wyoming-stt.history";
const MOST = 50;

const at = (id) => document.getElementById(id);

/** Entries are `{ when, text, language }`, the newest first; `when` is milliseconds since 1970. */
export class History {
  #entries = kept();

  constructor() {
    at("history-clear").addEventListener("click", () => {
      this.#change([]);
      at("history-title").focus();
    });
    // Another tab has changed it.
    window.addEventListener("storage", (event) => {
      if (event.key === KEPT_AS || event.key === null) this.#show(kept());
    });
    this.#show(this.#entries);
  }

  add({ text, language }) {
    this.#change([{ when: Date.now(), text, language }, ...this.#entries].slice(0, MOST));
  }

  #remove(entry) {
    this.#change(this.#entries.filter((other) => other !== entry));
    at("history-title").focus();
  }

  #change(entries) {
    keep(entries);
    this.#show(entries);
  }

  #show(entries) {
    this.#entries = entries;
    at("history-clear").hidden = entries.length === 0;
    at("history-list").replaceChildren(...entries.map((entry) => this.#item(entry)));
  }

  #item(entry) {
    const item = document.createElement("li");
    const words = document.createElement("p");
    words.textContent = entry.text;
    words.lang = entry.language;
    words.dir = "auto";
    const below = document.createElement("div");
    below.className = "row";
    const when = document.createElement("time");
    when.dateTime = new Date(entry.when).toISOString();
    when.textContent = moment(entry.when);
    const language = document.createElement("span");
    language.textContent = entry.language ? languageName(entry.language) : "";
    below.append(when, language, button("Copy", entry, (it) => copyBy(it, entry.text)), button("Remove", entry, () => this.#remove(entry)));
    item.append(words, below);
    return item;
  }
}

function button(label, entry, press) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  button.textContent = label;
  // The visible word comes first, so that people who speak to their computer can say it.
  button.setAttribute("aria-label", `${label}: ${entry.text.slice(0, 40)}`);
  button.addEventListener("click", () => press(button));
  return button;
}

function moment(when) {
  const isToday = new Date(when).toDateString() === new Date().toDateString();
  const date = isToday ? {} : { day: "numeric", month: "short" };
  return new Intl.DateTimeFormat(undefined, { ...date, hour: "2-digit", minute: "2-digit" }).format(when);
}

/** What was kept may be anything: another version of this page wrote it, or a person. */
function kept() {
  try {
    const entries = JSON.parse(localStorage.getItem(KEPT_AS) ?? "[]");
    return entries
      .filter(({ when, text, language }) => Number.isFinite(when) && typeof text === "string" && typeof language === "string")
      .slice(0, MOST);
  } catch {
    return [];
  }
}

function keep(entries) {
  try {
    if (entries.length === 0) localStorage.removeItem(KEPT_AS);
    else localStorage.setItem(KEPT_AS, JSON.stringify(entries));
  } catch {
    // The browser keeps nothing for this page: history lasts until it is closed.
  }
}
