// What the page is in the middle of, as its buttons and its messages show it.

const at = (id) => document.getElementById(id);

const LABELS = { idle: "Speak", opening: "Speak", recording: "Stop", sending: "Speak" };

/** `idle`, `opening` (the microphone, or closing it), `recording` or `sending`. */
export let state = "idle";

/** From now on it is in the middle of this; `progress` says so to people. */
export function become(next, progress = "") {
  state = next;
  document.body.dataset.state = next;
  at("speak-label").textContent = LABELS[next];
  at("speak").setAttribute("aria-disabled", String(next === "opening" || next === "sending"));
  at("cancel").textContent = next === "sending" ? "Cancel" : "Discard";
  at("cancel").hidden = next === "idle" || next === "opening";
  at("progress").textContent = progress;
}

/** Shows what went wrong, until something is tried again. */
export function complain(text, { mayRetry = false } = {}) {
  at("problem-text").textContent = text;
  at("again").hidden = !mayRetry;
  at("problem").hidden = false;
}

export function complainNoMore() {
  at("problem").hidden = true;
}
