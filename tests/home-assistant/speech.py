"""Sentences spoken by flite."""

import subprocess
import tempfile
import wave
from pathlib import Path

RATE_HZ = 16_000


def spoken(sentence: str) -> bytes:
    """Mono 16 kHz in 16 bits, with a second of silence behind it, by which Home Assistant finds the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", "slt", "-t", sentence, "-o", str(path)], check=True)
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2)
            return file.readframes(file.getnframes()) + bytes(2 * RATE_HZ)
