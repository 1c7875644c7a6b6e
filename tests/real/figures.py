#!/usr/bin/env python3
"""Measures accuracy on the recordings of ../shared/real-speech and prints it as a table.

figures.py [tiny.en | base | STEP]…      STEP: orders, quiet, kitchen, nothing, long; all models and steps by default

The program is named by the variable `binary`, the folder of the weights by STT_REAL_WEIGHTS.
"""

import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import recordings
import sounds
from words import Errors

SHARED = Path(__file__).parents[3] / "shared" / "real-speech"
MODELS = ("tiny.en", "base")
REFERENCE = ("--precision", "f32", "--window", "exact", "--speech-threshold", "0")
WAYS = {
    "f32, 30 s, no detector": REFERENCE,
    "f32, 30 s": ("--precision", "f32", "--window", "exact"),
    "as it comes": (),
    "int8, short window": ("--window", "dynamic"),
}


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


score = load(SHARED / "score.py") if SHARED.is_dir() else None


def hear(model, files, *flags):
    """Transcripts by file name."""
    command = [os.environ["binary"], "transcribe", "--format", "json", "--model", Path(os.environ["STT_REAL_WEIGHTS"]) / model, *flags, *files]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def slots(text):
    return score.commands(score.transcripts(io.StringIO(text)))


def same(first, second):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in "ab"]
        for path, text in zip(paths, (first, second)):
            path.write_text(text)
        return score.same(*paths)


def orders(model, scratch):
    """The orders and readings, each way."""
    commands, read = sorted((SHARED / "commands").glob("*.flac")), sorted((SHARED / "read").glob("*.flac"))
    others = list(recordings.write(scratch).values())[: len(recordings.WORDS)]
    exact = None
    for way, flags in WAYS.items():
        heard = hear(model, commands + read + others, "--language", "en", *flags)
        exact = exact or heard
        row(model, way, slots(heard), score.read(score.transcripts(io.StringIO(heard))), same(exact, heard))


def variants(model, scratch, label, *arguments):
    """The orders, made harder, as it comes and beside f32 without a detector."""
    files = sorted(str(path) for path in (SHARED / "commands").glob("*.flac"))
    folder = scratch / label.replace(" ", "_")
    sounds.main([arguments[0], str(folder), *arguments[1:], *files])
    made = sorted(folder.glob("*.wav"))
    for way in ("f32, 30 s, no detector", "as it comes"):
        heard = hear(model, made, "--language", "en", *WAYS[way]).replace(".wav", ".flac")
        row(model, f"{label}, {way}", slots(heard), "", "")


def quiet(model, scratch):
    for factor in ("0.1", "0.01"):
        variants(model, scratch, f"{factor} times as loud", "quieter", factor)


def kitchen(model, scratch):
    for decibels in ("10", "5"):
        variants(model, scratch, f"kitchen {decibels} dB below", "noisy", str(SHARED / "noise" / "kitchen.flac"), decibels)


def nothing(model, scratch):
    """Files without speech, and how many give text."""
    folder = scratch / "nothing"
    sounds.main(["nothing", str(folder), "--noise", str(SHARED / "noise" / "kitchen.flac")])
    files = sorted(folder.glob("*.wav"))
    for flags in (("--language", "en"), ()) if model == "base" else ((),):
        heard = [json.loads(line) for line in hear(model, files, *flags).splitlines()]
        invented = [f"{Path(found['file']).name}: {found['text']}" for found in heard if found["text"]]
        row(model, f"no speech, {' '.join(flags) or 'language detected'}", f"{len(invented)} of {len(files)} give text", "", "")
        print(*invented, sep="\n", file=sys.stderr)


def long(model, scratch):
    """Long audio: the joined readings, and the joinings of this folder."""
    said = json.loads((SHARED / "long" / "words.json").read_text())
    texts = [(SHARED / "long" / name, words) for name, words in said.items()]
    ours = recordings.write(scratch)
    texts += [(ours[name], recordings.words(name)) for name in recordings.LONG]
    heard = [json.loads(line) for line in hear(model, [path for path, _ in texts], "--language", "en").splitlines()]
    for (path, words), found in zip(texts, heard):
        errors = Errors()
        errors.add(words, found["text"])
        row(model, f"long, {path.name}", str(errors), "", "")


STEPS = {step.__name__: step for step in (orders, quiet, kitchen, nothing, long)}


def main(arguments):
    if not score:
        sys.exit("no folder shared/real-speech lies beside this checkout; nothing is measured")
    models = [name for name in arguments if name in MODELS] or MODELS
    steps = [name for name in arguments if name in STEPS] or STEPS
    if unknown := set(arguments) - set(MODELS) - set(STEPS):
        sys.exit(f"unknown: {', '.join(unknown)}\n{__doc__}")
    row("model", "way", "200 orders", "7 readings", "beside f32, 30 s, no detector")
    row(*["---"] * 5)
    for model in models:
        for step in steps:
            with tempfile.TemporaryDirectory() as folder:
                STEPS[step](model, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
