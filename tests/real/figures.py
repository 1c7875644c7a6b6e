#!/usr/bin/env python3
"""Measures accuracy on the recordings of ../shared/real-speech and prints it as a table.

figures.py [tiny.en | base | STEP]…      STEP: orders, quiet, kitchen, nothing, long, names; all models and steps by default

The program is named by the variable `binary`, the folder of the weights by STT_REAL_WEIGHTS.
"""

import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import home
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
    "int8, 30 s": ("--window", "exact"),
    "int8, audio and margin": ("--window", "dynamic"),
    "int8, one hypothesis": ("--beam-size", "1"),
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


def names(model, scratch):
    """With the 30 commonest names of the orders among those of a made-up home: the orders, texts that have none of them, and
    files without speech."""
    said = json.loads((SHARED / "commands" / "slots.json").read_text()).values()
    common = Counter(value.strip() for slots in said for value in slots.values())
    theirs = [name for name, _ in common.most_common(30)]
    read = sorted((SHARED / "read").glob("*.flac"))
    ours = recordings.write(scratch)
    texts = [(ours[name], words) for name, words in recordings.WORDS.items() if words]
    sounds.main(["nothing", str(scratch / "nothing"), "--noise", str(SHARED / "noise" / "kitchen.flac")])
    silent = sorted((scratch / "nothing").glob("*.wav"))
    lists = {"no names": [], "30 names": theirs}
    lists |= {f"30 names among {more} others": theirs + home.names(more) for more in (1_000, 10_000)}
    lists |= {"1000 other names": home.names(1_000), "40 common words": COMMON.split()}
    for label, expected in lists.items():
        path = scratch / "names"
        path.write_text("\n".join(expected))
        flags = ("--language", "en", "--names", path)
        orders = hear(model, sorted((SHARED / "commands").glob("*.flac")), *flags)
        readings = score.read(score.transcripts(io.StringIO(hear(model, read, *flags))))
        errors = Errors()
        heard = hear(model, [path for path, _ in texts], *flags).splitlines()
        for (_, words), line in zip(texts, heard):
            errors.add(words, json.loads(line)["text"])
        invented = sum(bool(json.loads(line)["text"]) for line in hear(model, silent, *flags).splitlines())
        row(model, label, slots(orders), readings, f"librivox and others: {errors}; {invented} of {len(silent)} sounds give text")


# Of the commonest words of English.
COMMON = (
    "on off light the in a an of to and is it was for that with he as his had not be at by I this but from or have "
    "which she her you we all him turn kitchen room"
)

STEPS = {step.__name__: step for step in (orders, quiet, kitchen, nothing, long, names)}


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
