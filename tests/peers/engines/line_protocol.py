"""What an engine does in its own process: load, say so, then transcribe what each line asks for.

    → {"audio": ["10s.wav", "10s.wav"], "window": "exact"}
    ← {"wall_ms": 412.0, "texts": ["…", "…"]}

The clock starts when the samples are in memory and stops when all words are there. `crates/whisper/examples/race.rs`
speaks the same.
"""

import json
import os
import sys
import time
import wave
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

# Frames of the encoder that whisper.cpp is given for short audio: as many as our `dynamic` takes.
POSITIONS_S = 50
MARGIN_POSITIONS = 64
STEP = 32


class Engine(Protocol):
    """A loaded model."""

    # Release of the library, and what it says about itself.
    version: str

    def transcribe(self, audio: list[Any], window: str) -> list[str]:
        """The words of each; several come at once and may be done side by side."""


def serve(load: Callable[[], Engine]) -> None:
    """Answers lines until there are no more."""
    # Libraries print what they like; only answers go to what was standard output.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    start = time.perf_counter()
    engine = load()
    loaded = {"ready": True, "version": engine.version, "load_ms": since(start)}
    print(json.dumps(loaded), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        audio = [samples(path) for path in request["audio"]]
        start = time.perf_counter()
        texts = engine.transcribe(audio, request["window"])
        print(json.dumps({"wall_ms": since(start), "texts": texts}), file=answers)


def since(start: float) -> float:
    """In milliseconds."""
    return (time.perf_counter() - start) * 1e3


def samples(path: str) -> Any:
    """Of a file with one channel of 16 bits at 16 kHz."""
    with wave.open(path) as sound:
        pcm = sound.readframes(sound.getnframes())
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768


def dynamic_positions(count: int) -> int:
    """Positions of the encoder for so many samples, as `Window::Dynamic` counts them; 1500 at most."""
    needed = -(-count * POSITIONS_S // 16_000) + MARGIN_POSITIONS
    return min(1500, -(-needed // STEP) * STEP)
