"""The audio that everybody hears: the project's spoken fixtures, one after the other, cut to a length."""

import wave
from pathlib import Path

RATE_HZ = 16_000
PAUSE = bytes(2 * RATE_HZ // 4)


def write(folder: Path, fixtures: Path, seconds: int) -> Path:
    """A WAV of exactly so many seconds, 16 bits, mono, 16 kHz."""
    path = folder / f"{seconds}s.wav"
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        sound.writeframes(speech(fixtures, 2 * RATE_HZ * seconds))
    return path


def speech(fixtures: Path, size: int) -> bytes:
    """So many bytes of PCM."""
    spoken = b"".join(clip + PAUSE for clip in clips(fixtures))
    return (spoken * (size // len(spoken) + 1))[:size]


def clips(fixtures: Path) -> list[bytes]:
    """The fixtures that need no conversion."""
    found = []
    for path in sorted(fixtures.glob("*.wav")):
        with wave.open(str(path)) as sound:
            if (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (RATE_HZ, 2, 1):
                found.append(sound.readframes(sound.getnframes()))
    return found


def read(path: Path) -> bytes:
    """The PCM of a file."""
    with wave.open(str(path)) as sound:
        return sound.readframes(sound.getnframes())
