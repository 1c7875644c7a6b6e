#!/usr/bin/env python3
"""Writes golden/MODEL.json: what the reference programs hear in the recordings, in f32.

golden.py MODEL FOLDER      FOLDER: the CTranslate2 folder of that model, with its tokenizer.json

transformers gives the words of each recording (greedy, without timestamps), openai-whisper the segments of long audio
(greedy, with and without the text before as prompt), the times of words, the languages that it detects, and translations.
Run it with the packages of golden.txt; `tests/real/run --golden` does.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import recordings
import weights

KEPT = ("start", "end", "text", "avg_logprob", "no_speech_prob", "temperature")


def floats(content):
    return np.frombuffer(content, np.int16).astype(np.float32) / 32_768


def by_transformers(folder):
    import torch

    model, features, tokenizer = weights.for_transformers(folder)
    asked = {"language": "en", "task": "transcribe"} if model.generation_config.is_multilingual else {}
    words = {}
    for name in recordings.WORDS:
        sound = features(floats(recordings.samples(name)), sampling_rate=recordings.RATE, return_tensors="pt")
        with torch.no_grad():
            tokens = model.generate(sound.input_features, do_sample=False, num_beams=1, **asked)
        words[name] = tokenizer.decode(tokens[0], skip_special_tokens=True).strip()
    return words


def by_openai(folder):
    import whisper

    model = weights.for_openai(folder)
    long = {}
    for name, parts in recordings.LONG.items():
        sound = floats(recordings.joined(*parts))
        for prompt in (False, True):
            found = model.transcribe(sound, language="en", temperature=0.0, fp16=False, condition_on_previous_text=prompt)
            segments = [{key: segment[key] for key in KEPT} for segment in found["segments"]]
            long[name + (" with the text before" if prompt else "")] = segments
    timed = {}
    for name in recordings.WORDS:
        found = model.transcribe(floats(recordings.samples(name)), language="en", temperature=0.0, fp16=False, word_timestamps=True)
        words = [word for segment in found["segments"] for word in segment["words"]]
        timed[name] = [[word["word"].strip(), float(word["start"]), float(word["end"])] for word in words]
    languages = {}
    if model.is_multilingual:
        for name in recordings.WORDS:
            mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(floats(recordings.samples(name))), model.dims.n_mels)
            _, probabilities = model.detect_language(mel)
            best = max(probabilities, key=probabilities.get)
            languages[name] = {"language": best, "probability": probabilities[best]}
    return {"long": long, "timed": timed, "languages": languages}


def main(model, folder):
    golden = {"words": by_transformers(folder), **by_openai(folder)}
    target = Path(__file__).parent / "golden" / f"{model}.json"
    with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False) as file:
        json.dump(golden, file, indent=1, ensure_ascii=False)
        file.write("\n")
    Path(file.name).chmod(0o644)
    Path(file.name).rename(target)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 3 else sys.exit(__doc__)
