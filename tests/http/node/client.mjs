// OpenAI's client for Node against a server: client.mjs BASE_URL KEY SOUND WORDS

import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey, sound, words] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const { transcriptions, translations } = client.audio;
const model = "whisper-1";
const file = () => createReadStream(sound);

assert.equal((await transcriptions.create({ model, file: file() })).text, words);
const bytes = await toFile(await readFile(sound), "sound.wav");
assert.equal((await transcriptions.create({ model, file: bytes })).text, words);

const text = await transcriptions.create({ model, file: file(), response_format: "text" });
assert.equal(text.trim(), words);
const verbose = await transcriptions.create({
  model,
  file: file(),
  response_format: "verbose_json",
  timestamp_granularities: ["word", "segment"],
  language: "en",
});
assert.deepEqual(verbose.words.map((word) => word.word), verbose.text.split(" "));
assert.equal(verbose.segments.map((segment) => segment.text).join("").trim(), verbose.text);
assert.ok((await translations.create({ model, file: file() })).text);

let deltas = "";
let done;
for await (const event of await transcriptions.create({ model, file: file(), stream: true })) {
  if (event.type === "transcript.text.delta") deltas += event.delta;
  else done = event;
}
assert.equal(done.type, "transcript.text.done");
assert.deepEqual([deltas, done.text], [words, words]);

const names = [];
for await (const { id } of client.models.list()) names.push(id);
assert.deepEqual(names, ["demo", model]);

await assert.rejects(
  transcriptions.create({ model, file: file(), language: "klingon" }),
  (error) => error instanceof OpenAI.BadRequestError && error.param === "language",
);
await assert.rejects(new OpenAI({ baseURL, apiKey: "sk-other-key", maxRetries: 0 }).models.list(), OpenAI.AuthenticationError);
