"""Who takes part where the weights are real: the engines and servers of `catalogue.py`, in more configurations."""

import sys
from dataclasses import replace

from catalogue import (
    OPENVINO_KINDS,
    OURS,
    Contender,
    Places,
    faster_whisper,
    native,
    openvino,
    ours,
    transformers,
    whisper_cpp,
)

WINDOWS = ("exact", "auto", "dynamic")
# Hypotheses that faster-whisper keeps by default.
BEAMS = 5
# `--speech-threshold` of our server by default: our engine listens for speech first, as it does there.
SPEECH_THRESHOLD = "0.8"
# What ours is called as it comes.
DEFAULT = "stt"


def engines(places: Places) -> list[Contender]:
    """In process."""
    return [
        *(one_hypothesis(places, precision) for precision in ("f32", "int8")),
        *(several_hypotheses(places, precision) for precision in ("f32", "int8")),
        *(faster_whisper(kind, beams=beams) for kind in ("float32", "int8") for beams in (1, BEAMS)),
        whisper_cpp("q8_0", native(places)),
        *(replace(whisper_cpp(kind, native(places)), windows=("exact",)) for kind in ("f16", "q5_1")),
        *(openvino(places, kind) for kind in OPENVINO_KINDS),
        transformers(places, "float32"),
    ]


def one_hypothesis(places: Places, precision: str) -> Contender:
    """Our engine, with each window."""
    return replace(ours(places, precision, "--speech-threshold", SPEECH_THRESHOLD), windows=WINDOWS)


def several_hypotheses(places: Places, precision: str) -> Contender:
    """Our engine with as many as faster-whisper keeps."""
    alone = ours(places, precision, "--speech-threshold", SPEECH_THRESHOLD, "--beam-size", str(BEAMS))
    return replace(alone, key=f"{alone.key}-{BEAMS}", label=f"{alone.label}, {BEAMS} beams", windows=("auto",))


def servers(places: Places) -> list[Contender]:
    """As they come, on the files that faster-whisper has on disk, and each with the other's number of hypotheses."""
    here = ("--uri", "tcp://127.0.0.1:{port}", "--model", "{model}/ct2-int8")
    wyoming_stt = (str(places.server), "serve", *here, "--admin", "off")
    other = (
        *(sys.executable, "-m", "wyoming_faster_whisper", *here),
        *("--data-dir", "{model}", "--local-files-only", "--language", "en", "--compute-type", "int8"),
    )
    family, label = "wyoming-faster-whisper", "wyoming-faster-whisper int8"
    return [
        Contender(DEFAULT, OURS, "wyoming-stt as it comes", wyoming_stt),
        Contender("stt-1", OURS, "wyoming-stt, `--beam-size 1`", (*wyoming_stt, "--beam-size", "1")),
        Contender(family, family, f"{label} as it comes", other),
        Contender(f"{family}-1", family, f"{label}, `--beam-size 1`", (*other, "--beam-size", "1")),
    ]
