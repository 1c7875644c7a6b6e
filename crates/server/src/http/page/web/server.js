// What the server is doing now, and how Home Assistant reaches it.

import * as api from "./api.js";
import { copyBy } from "./save.js";
import { count, duration, languageName } from "./times.js";

const EVERY_MS = 2_000;
const EVERY_MS_WITHOUT_ANSWER = 5_000;

const PHASES = {
  loading: "Loading the model",
  ready: "Ready",
  failing: "The model fails",
  failed: "No model",
};
const ORIGINS = { file: "from a file", home_assistant: "from Home Assistant" };

const at = (id) => document.getElementById(id);

/** Asks again and again while the page is seen. `onState` gets each answer, `onKey` is called when a key is needed. */
export class Server {
  #timer = null;
  #languages = "";

  /** Whether a request without a language has it detected. */
  detects = false;

  constructor({ onState, onKey }) {
    this.onState = onState;
    this.onKey = onKey;
    document.addEventListener("visibilitychange", () => this.ask());
    for (const [button, value] of [["copy-host", "assistant-host"], ["copy-port", "assistant-port"]]) {
      at(button).addEventListener("click", () => copyBy(at(button), at(value).textContent));
    }
    at("assistant-host").textContent = host();
    this.ask();
  }

  /** Asks now, whatever was planned. */
  async ask() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (document.hidden) return;
    let next = EVERY_MS;
    try {
      this.#show(await api.state());
    } catch (error) {
      next = this.#failed(error);
    }
    // A second call may have come meanwhile.
    clearTimeout(this.#timer);
    if (next) this.#timer = setTimeout(() => this.ask(), next);
  }

  /** When to ask again; never where that needs a key. */
  #failed(error) {
    if (error.isAboutKey) {
      status("An API key is needed", "waits");
      this.onKey();
      return null;
    }
    const isBusy = error instanceof api.Refused;
    status(isBusy ? "Busy or shutting down" : "Not reachable", "gone");
    return Math.max(EVERY_MS_WITHOUT_ANSWER, 1_000 * (error.retryAfterS ?? 0));
  }

  #show(state) {
    status(PHASES[state.phase] ?? state.phase, state.phase);
    at("server-facts").replaceChildren(...rows(state));
    at("version").textContent = `wyoming-stt ${state.version}`;
    this.#showLanguages(state.languages);
    showAssistant(state.wyoming);
    this.onState(state);
  }

  /** Changed only with the model, so that a choice and an open list stay. */
  #showLanguages(languages) {
    const all = JSON.stringify(languages);
    if (all === this.#languages) return;
    this.#languages = all;
    const select = at("language");
    const chosen = select.value;
    const { offered, default: usual } = languages;
    const names = offered.map((code) => [code, languageName(code)]).sort(([, a], [, b]) => a.localeCompare(b));
    const options = names.map(([code, name]) => new Option(name, code));
    if (offered.length !== 1) options.unshift(new Option(usual ? `Default: ${languageName(usual)}` : "Detect", ""));
    select.replaceChildren(...options);
    if (offered.includes(chosen)) select.value = chosen;
    this.detects = offered.length !== 1 && !usual;
  }
}

/** The address that this page was opened by, as Home Assistant takes it. */
function host() {
  return location.hostname.replace(/^\[(.*)\]$/, "$1");
}

/** Said again only when it changes: screen readers read each change out. */
function status(text, phase) {
  const status = at("status");
  status.dataset.phase = phase;
  if (status.textContent !== text) status.textContent = text;
}

function rows({ model, work, names, limits }) {
  const weights = model.parameters && `${count(model.parameters)} weights`;
  const device = [model.device, model.precision].filter(Boolean).join(", ");
  return [
    row("Model", [model.name, weights].filter(Boolean).join(", ")),
    row("Runs on", device || "Not known before it is loaded"),
    row("Now", doing(work)),
    row("Answered", `${work.finished_total} since the start${work.refused_total ? `, ${work.refused_total} refused` : ""}`),
    row("Expected names", known(names)),
    row("Longest sound", duration(limits.audio_s)),
  ];
}

function row(name, text) {
  const row = document.createElement("div");
  const term = document.createElement("dt");
  const value = document.createElement("dd");
  term.textContent = name;
  value.textContent = text;
  row.append(term, value);
  return row;
}

function doing({ running, queued, slots, oldest_wait_s: oldest }) {
  if (running + queued === 0) return `Idle, up to ${slots} at once`;
  const waiting = queued ? `, ${queued} waiting (${duration(oldest)})` : "";
  return `${running} of ${slots} running${waiting}`;
}

function known({ total, from }) {
  if (total === 0) return "None";
  const parts = Object.entries(from).map(([origin, number]) => `${number} ${ORIGINS[origin] ?? origin}`);
  return parts.length === 1 ? parts[0] : `${total}: ${parts.join(", ")}`;
}

function showAssistant(ports) {
  const best = ports.find((port) => !port.is_loopback) ?? ports[0];
  at("assistant-steps").hidden = !best;
  at("assistant-port").textContent = best ? String(best.port) : "";
  const note = at("assistant-note");
  note.textContent = assistantNote(best);
  note.hidden = note.textContent === "";
}

function assistantNote(port) {
  if (!port) return "This server has no Wyoming port in the network.";
  if (port.is_loopback) {
    return "The Wyoming port is on the loopback address: only programs on the server's own machine reach it. Start the server with --uri tcp://0.0.0.0:10300 for the others.";
  }
  if (["localhost", "127.0.0.1", "::1"].includes(host())) {
    return "A Home Assistant on another machine needs this machine's name or address as the host.";
  }
  return "In a container or a cluster, take the port that is published for it.";
}
