"""The speech bank: spoken sentences on disk, written by the speech stage and read by all later ones."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Clip:
    """One spoken sentence and where its samples are."""

    shard: str
    start: int
    # Samples at 16 kHz.
    length: int
    words: str
    voice: str


class ShardWriter:
    """Writes one shard: the samples of all clips in a row, and a line of JSON for each.

    The lines appear under their name only when the shard is complete, so a half-written one is not read.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._index_file = folder / f"{name}.jsonl"
        self._samples = (folder / f"{name}.pcm").open("wb")
        self._clips: list[Clip] = []
        self._end = 0

    def add(self, samples: np.ndarray, words: str, voice: str) -> None:
        """samples: int16 at 16 kHz."""
        self._samples.write(samples.tobytes())
        self._clips.append(Clip(self._name, self._end, len(samples), words, voice))
        self._end += len(samples)

    def finish(self) -> None:
        self._samples.close()
        unfinished = self._index_file.with_suffix(".part")
        unfinished.write_text("".join(json.dumps(asdict(clip)) + "\n" for clip in self._clips))
        unfinished.replace(self._index_file)


class Bank:
    """All finished shards of a folder, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        self.clips: list[Clip] = []
        self._samples: dict[str, np.ndarray] = {}
        for index_file in sorted(folder.glob("*.jsonl")):
            self._samples[index_file.stem] = np.memmap(index_file.with_suffix(".pcm"), dtype="<i2", mode="r")
            self.clips += [Clip(**json.loads(line)) for line in index_file.read_text().splitlines()]
        if not self.clips:
            raise FileNotFoundError(f"no speech in {folder}: the speech stage has not run there")

    def waveform(self, clip: Clip) -> np.ndarray:
        """Float32 samples within ±1."""
        stored = self._samples[clip.shard][clip.start : clip.start + clip.length]
        return stored.astype(np.float32) / 32_768
