// Where the time of a transcript went: a bar, and the same in numbers.

import { duration } from "./times.js";

/** What people call the server's parts, in the order in which they happen; `isMinor` ones are shown if they took time. */
const PARTS = [
  { name: "Queue", keys: ["wait"] },
  { name: "Spectrogram", keys: ["mel"], isMinor: true },
  { name: "Encode", keys: ["encode"] },
  { name: "Decode", keys: ["decode"] },
  { name: "Device, other", keys: ["others"], isMinor: true },
  { name: "Rest", keys: ["prepare", "reply"], isMinor: true },
];
/** Before the server counts: sending the sound, and decoding its file. */
const BEFORE = "Upload";
const SHORTEST_S = 0.001;

/** `timings`: the server's, in seconds. `whole`: seconds from sending to the last word, by the browser's clock. */
export function showTimings({ bar, list }, timings, whole) {
  const parts = PARTS.map((part) => ({ ...part, seconds: part.keys.reduce((sum, key) => sum + (timings[key] ?? 0), 0) }));
  const server = parts.reduce((sum, { seconds }) => sum + seconds, 0);
  const all = [{ name: BEFORE, seconds: Math.max(0, whole - server) }, ...parts];
  const shown = all.filter(({ isMinor, seconds }) => !isMinor || seconds >= SHORTEST_S);
  bar.replaceChildren(...shown.map(piece));
  list.replaceChildren(...shown.map(row));
}

function piece({ name, seconds }) {
  const piece = document.createElement("i");
  piece.dataset.part = name;
  // Growths whose sum is below 1 leave a part of the bar empty.
  piece.style.flexGrow = String(1_000 * seconds);
  return piece;
}

function row({ name, seconds }) {
  const row = document.createElement("div");
  const term = document.createElement("dt");
  const value = document.createElement("dd");
  row.dataset.part = name;
  term.textContent = name;
  value.textContent = duration(seconds);
  row.append(term, value);
  return row;
}
