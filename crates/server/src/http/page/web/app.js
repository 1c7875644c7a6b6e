// The page: what its buttons do, and in which order.

import * as api from "./api.js";
import { onFile } from "./dropping.js";
import { History } from "./history.js";
import { onKey, showKeyForm } from "./keyform.js";
import { Meter } from "./meter.js";
import { copy, save } from "./save.js";
import { Server } from "./server.js";
import { become, complain, complainNoMore, state } from "./stage.js";
import { Take } from "./take.js";
import { clock, duration } from "./times.js";
import { Transcript } from "./transcript.js";
import { wavOf } from "./wav.js";

const at = (id) => document.getElementById(id);

const meter = new Meter(at("wave"), at("level"));
const transcript = new Transcript();
const history = new History();
const server = new Server({
  onState: (state) => { limits = state.limits; },
  onKey: showKeyForm,
});

/** What the server takes; until it has said that, it refuses by itself. */
let limits = { audio_s: Infinity, body_bytes: Infinity };
/** What is being recorded. */
let take = null;
/** The last sound that was sent: `{ sound, language }`. Subtitles are made from it, and it can be sent again. */
let last = null;
/** A sound that was not sent for want of a key. */
let unsent = null;
/** Ends the request that runs. */
let sending = null;

const language = () => at("language").value;

// Speaking.

async function record() {
  complainNoMore();
  transcript.clear();
  meter.begin();
  become("opening", "Waiting for the microphone");
  const begun = new Take({
    send: (samples, signal) => api.textOf({ sound: wavOf(samples), language: language(), signal }),
    onDraft: (text) => transcript.showDraft(text),
    onFault: draftFailed,
    onLevel: (db) => heard(begun, db),
  });
  let isGone = false;
  try {
    await begun.begin(() => {
      isGone = true;
      stop();
    });
  } catch (error) {
    clearTake();
    become("idle");
    complain(error.message);
    return;
  }
  take = begun;
  become("recording", "Listening");
  if (isGone) stop();
}

/** The next block of a recording is so loud. */
function heard(begun, db) {
  const { seconds } = begun.recording;
  meter.push(db);
  at("clock").textContent = clock(seconds);
  // The server would refuse a longer one.
  if (seconds >= limits.audio_s - 1) stop();
}

/** Ends the recording; resolves to it, or to null where there is none. */
async function endTake() {
  const ended = take;
  take = null;
  if (!ended) return null;
  become("opening", "Ending the recording");
  const recording = await ended.end();
  meter.end();
  return recording;
}

function clearTake() {
  transcript.clear();
  meter.clear();
  at("clock").textContent = clock(0);
}

async function stop() {
  const recording = await endTake();
  if (!recording) return;
  if (recording.length === 0) {
    become("idle");
    complain("The microphone gave no sound.");
    return;
  }
  await send({ sound: wavOf(recording.from(0)), language: language() });
}

function draftFailed(error) {
  if (error.isAboutKey) askForKey(error);
  else complain(`${error.message} Recording goes on.`);
}

// Sending.

async function send(asked) {
  last = asked;
  unsent = null;
  complainNoMore();
  transcript.begin();
  become("sending", "Transcribing");
  sending = new AbortController();
  const began = performance.now();
  const since = () => (performance.now() - began) / 1_000;
  let toFirst = null;
  try {
    const answer = await api.transcribe({ ...asked, signal: sending.signal }, (words) => {
      toFirst ??= since();
      transcript.add(words);
    });
    const whole = since();
    const wasDetected = asked.language === "" && server.detects;
    transcript.finish(answer, { whole, toFirst: toFirst ?? whole, wasDetected });
    if (answer.text) history.add(answer);
    become("idle", answer.text ? `Done in ${duration(whole)}` : "Done");
  } catch (error) {
    transcript.giveUp();
    const isCancelled = error.name === "AbortError";
    become("idle", isCancelled ? "Cancelled" : "");
    if (error.isAboutKey) unsent = asked;
    if (!isCancelled) failed(error);
  } finally {
    sending = null;
    server.ask();
  }
}

function failed(error) {
  if (error.isAboutKey) {
    askForKey(error);
    return;
  }
  const when = error.retryAfterS ? ` It can be sent again in ${error.retryAfterS} s.` : "";
  complain(`${error.message}${when}`, { mayRetry: error instanceof api.Unreachable || error.isPassing });
}

/** Something was asked of the server without a key that it knows. */
function askForKey(error) {
  const isWrong = showKeyForm();
  complain(isWrong ? error.message : "An API key is needed; enter it above.");
  at("key").focus();
}

onKey(() => {
  complainNoMore();
  at("speak").focus();
  if (unsent && state === "idle") send(unsent);
  else server.ask();
});

onFile((file) => {
  if (state !== "idle") {
    complain("One sound at a time: this one was not sent.");
    return;
  }
  clearTake();
  if (file.size > limits.body_bytes) {
    complain(`${file.name} is larger than the ${Math.floor(limits.body_bytes / 2 ** 20)} MiB that the server takes.`);
    return;
  }
  send({ sound: file, language: language() });
});

// Buttons.

at("speak").addEventListener("click", () => {
  if (state === "recording") stop();
  else if (state === "idle") record();
});

at("cancel").addEventListener("click", async () => {
  at("speak").focus();
  sending?.abort();
  if (await endTake()) {
    clearTake();
    become("idle", "Discarded");
  }
});

at("again").addEventListener("click", () => {
  at("speak").focus();
  if (last && state === "idle") send(last);
});

function saved(text) {
  at("saved").textContent = text;
}

at("copy").addEventListener("click", async () => {
  saved((await copy(at("words").textContent)) ? "Copied" : "The browser does not allow it");
});
at("save-txt").addEventListener("click", () => {
  save(`${at("words").textContent}\n`, "transcript.txt", "text/plain");
  saved("Saved");
});
for (const [format, type] of [["srt", "application/x-subrip"], ["vtt", "text/vtt"]]) {
  at(`save-${format}`).addEventListener("click", async () => {
    saved("Finding the times");
    try {
      save(await api.textOf({ ...last, format }), `transcript.${format}`, type);
      saved("Saved");
    } catch (error) {
      saved("");
      failed(error);
    }
  });
}

become("idle");
