"""The speech stage: lets Debian's voices speak the sentences into a bank."""

import random
import subprocess
import wave
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe.bank import Bank, Clip, ShardWriter
from recipe.engines import SAMPLE_RATE_HZ, NothingSaid, Synthesisers
from recipe.progress import Progress
from recipe.pronounce import spoken_text
from recipe.texts import held_out_sentences
from recipe.voices import HELD_OUT_VOICES, Voice, training_voice

_SHARD_CLIPS = 1_000
# A Whisper window has 30 s; some variants stretch a sentence beyond half of it.
_LONGEST_CLIP_S = 14


@dataclass(frozen=True)
class _Shard:
    folder: Path
    name: str
    spoken: list[tuple[str, Voice]]


def speak_training(sentences: list[str], folder: Path, progress: Progress, workers: int = 2) -> None:
    """Every sentence once, each by a voice drawn for it; finished shards of an earlier run are kept."""
    shards = []
    for number, start in enumerate(range(0, len(sentences), _SHARD_CLIPS)):
        rng = random.Random(f"voices of shard {number}")
        spoken = [(words, training_voice(rng)) for words in sentences[start : start + _SHARD_CLIPS]]
        shards.append(_Shard(folder, f"part-{number:03d}", spoken))
    _speak_shards(shards, progress, workers)


def speak_held_out(folder: Path, progress: Progress, limit: int | None = None) -> None:
    """The held-out sentences: bank `seen` by voices of the training, bank `unseen` by held-out voices."""
    sentences = held_out_sentences()
    middle = len(sentences) // 2
    rng = random.Random("voices of the held-out sentences")
    seen = [(words, training_voice(rng)) for words in sentences[:middle]]
    unseen = [(words, HELD_OUT_VOICES[index % len(HELD_OUT_VOICES)]) for index, words in enumerate(sentences[middle:])]
    shards = [
        _Shard(folder / "seen", "held-out", seen[:limit]),
        _Shard(folder / "unseen", "held-out", unseen[:limit]),
    ]
    _speak_shards(shards, progress, workers=2)


def write_clips(held_out: Path, folder: Path, each: int = 40) -> None:
    """`each` held-out clips of trained and of held-out voices as WAV files with their words beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("seen", "unseen"):
        bank = Bank(held_out / kind)
        for index, clip in enumerate(bank.clips[:each]):
            name = folder / f"{kind}-{index:03d}"
            _write_wav(name.with_suffix(".wav"), with_silence(bank, clip))
            name.with_suffix(".txt").write_text(clip.words + "\n")


def with_silence(bank: Bank, clip: Clip) -> np.ndarray:
    """The clip with 0.1 s of silence at both ends: the synthesis stage trims tightly."""
    return np.pad(bank.waveform(clip), SAMPLE_RATE_HZ // 10)


def _speak_shards(shards: list[_Shard], progress: Progress, workers: int) -> None:
    missing = [shard for shard in shards if not (shard.folder / f"{shard.name}.jsonl").exists()]
    total = sum(len(shard.spoken) for shard in missing)
    done = 0
    with ProcessPoolExecutor(workers) as pool:
        for finished in as_completed([pool.submit(_speak_shard, shard) for shard in missing]):
            spoken, skipped = finished.result()
            done += spoken + skipped
            progress.say(f"{done} of {total} sentences spoken", silent=skipped)


def _speak_shard(shard: _Shard) -> tuple[int, int]:
    """How many clips were written and how many were not."""
    shard.folder.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(shard.folder, shard.name)
    written = 0
    with Synthesisers() as synthesisers:
        for words, voice, samples in _spoken(shard, synthesisers):
            writer.add(samples, words, voice.label)
            written += 1
    writer.finish()
    return written, len(shard.spoken) - written


def _spoken(shard: _Shard, synthesisers: Synthesisers) -> Iterator[tuple[str, Voice, np.ndarray]]:
    for words, voice in shard.spoken:
        try:
            samples = synthesisers.speak(spoken_text(words), voice)
        except (NothingSaid, subprocess.CalledProcessError):
            continue
        if len(samples) <= _LONGEST_CLIP_S * SAMPLE_RATE_HZ:
            yield words, voice, samples


def _write_wav(path: Path, waveform: np.ndarray) -> None:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((waveform * 32_767).astype("<i2").tobytes())
