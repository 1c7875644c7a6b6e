// Requests to the server that this page came from.

import { readEvents } from "./events.js";
import * as key from "./key.js";

// The page may stand behind a proxy at a path of its own.
const ROOT = new URL("../", import.meta.url);
const TRANSCRIPTIONS = "v1/audio/transcriptions";

/** The server's answer is an error. `message` is a sentence for people; `status` is null for one within a stream. */
export class Refused extends Error {
  constructor(message, status, retryAfterS) {
    super(message);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }

  /** Whether another key is needed. */
  get isAboutKey() {
    return this.status === 401;
  }

  /** Whether the same may work later. */
  get isPassing() {
    return this.status === null || this.status === 429 || this.status >= 500;
  }
}

/** No answer, or not all of it. */
export class Unreachable extends Error {
  constructor(message = "The server cannot be reached.") {
    super(message);
  }
}

/**
 * Transcribes a sound; `onWords` gets the words as they come.
 * Resolves to the last event: `text`, `language`, `usage.seconds`, `timings` in seconds.
 */
export async function transcribe({ sound, language, signal }, onWords) {
  const response = await ask(TRANSCRIPTIONS, {
    method: "POST",
    body: form(sound, { language, stream: "true" }),
    signal,
  });
  let whole = null;
  try {
    for await (const event of readEvents(response.body)) {
      if (event.error) throw new Refused(sentence(event.error.message), null, null);
      if (event.type === "transcript.text.delta") onWords(event.delta);
      if (event.type === "transcript.text.done") whole = event;
    }
  } catch (error) {
    throw error instanceof Refused || error.name === "AbortError" ? error : new Unreachable();
  }
  if (!whole) throw new Unreachable("The connection ended before the transcript did.");
  return whole;
}

/** The text of a sound, in one piece and in this format: `json`'s text, `text`, `srt` or `vtt`. */
export async function textOf({ sound, language, format = "text", signal }) {
  const response = await ask(TRANSCRIPTIONS, {
    method: "POST",
    body: form(sound, { language, response_format: format }),
    signal,
  });
  return response.text();
}

/** What the server is doing now. */
export async function state() {
  const response = await ask("page/state.json", { signal: AbortSignal.timeout(5_000) });
  return response.json();
}

function form(sound, fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value) form.append(name, value);
  }
  form.append("file", sound, sound.name ?? "speech.wav");
  return form;
}

async function ask(path, options) {
  const headers = new Headers();
  if (key.get()) headers.set("authorization", `Bearer ${key.get()}`);
  let response;
  try {
    response = await fetch(new URL(path, ROOT), { ...options, headers, cache: "no-store" });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Unreachable();
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const retryAfterS = Number(response.headers.get("retry-after")) || null;
  let message = `The server answered with status ${response.status}.`;
  try {
    message = sentence((await response.json()).error.message);
  } catch {
    // A proxy between the page and the server answers in words of its own.
  }
  return new Refused(message, response.status, retryAfterS);
}

/** The server writes its messages without a capital and a full stop. */
function sentence(message) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
