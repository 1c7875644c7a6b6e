"""Recordings of people with what was said in them: those of Debian's pocketsphinx-testdata, and a folder of orders.

The folder is one like `../shared/real-speech`: `commands/*.flac` with `slots.json` (what each speaker was to ask for),
and `read/*.flac` with `words.json`. It does not come with the project, and is left out where it is missing.
"""

import json
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accuracy import Expected

REAL = Path(__file__).resolve().parents[1] / "real"
sys.path.append(str(REAL))

import recordings

FORMAT = (recordings.RATE, 1)


def write(folder: Path, shared: Path, orders: int) -> dict[str, tuple[Path, Expected]]:
    """Puts WAV files into a folder; gives each with what is expected in it, by a name that is unique."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = recordings.write(folder)
    found = {name: (paths[name], Expected(words=words)) for name, words in recordings.WORDS.items() if words}
    if not shared.is_dir():
        return found
    said = json.loads((shared / "read" / "words.json").read_text(encoding="utf-8"))
    asked = json.loads((shared / "commands" / "slots.json").read_text(encoding="utf-8"))
    known = {f"read/{name}": Expected(words=words) for name, words in sorted(said.items())}
    for name in evenly(sorted(asked), orders):
        known[f"commands/{name}"] = Expected(slots=tuple(asked[name].values()))
    for name, expected in known.items():
        found[name] = (wav(shared / name, folder / f"{name.replace('/', '_')}.wav"), expected)
    return found


def evenly(names: Sequence[str], count: int) -> list[str]:
    """So many of them, as far apart as can be; all where there are no more."""
    chosen = min(count, len(names))
    return [names[index * len(names) // chosen] for index in range(chosen)]


def wav(source: Path, target: Path) -> Path:
    """The sound of any file, as a WAV of 16 bits."""
    import soundfile

    sound, rate_hz = soundfile.read(source, dtype="int16", always_2d=True)
    if (rate_hz, sound.shape[1]) != FORMAT:
        raise SystemExit(f"{source} has {rate_hz} Hz and {sound.shape[1]} channels, expected 16000 Hz and one")
    write_wav(target, sound)
    return target


def write_wav(target: Path, sound: Any) -> None:
    """Mono, 16 kHz."""
    with wave.open(str(target), "wb") as file:
        file.setparams((1, 2, recordings.RATE, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
