"""The evaluation stage: what an exported model hears in speech and sounds that it was not trained on."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe.bank import Bank
from recipe.crosscheck import agreeing
from recipe.features import SAMPLE_RATE_HZ
from recipe.progress import Progress
from recipe.recognition import Heard, Recogniser
from recipe.silence import sounds_without_speech
from recipe.speech import with_silence
from recipe.word_errors import exact_share, word_error_rate

Figures = dict[str, float]
Listen = Callable[[list[np.ndarray]], list[Heard]]


@dataclass(frozen=True)
class Extent:
    """How many held-out clips of each kind of voice, windows with joined ones, sounds of each kind
    without speech (None: all), and clips that transformers recognises too."""

    clips: int
    joined: int
    sounds: int | None
    checked: int


EVERYTHING = Extent(clips=200, joined=40, sounds=None, checked=20)
GLANCE = Extent(clips=10, joined=2, sounds=2, checked=4)


@dataclass(frozen=True)
class _Spoken:
    """A waveform, what is said in it, and the seconds in which it is said."""

    waveform: np.ndarray
    words: str
    start_s: float
    end_s: float


def evaluate(name: str, folder: Path, held_out: Path, extent: Extent, progress: Progress) -> Figures:
    """Measures the model of `folder` with the held-out clips; figures are per cent unless their name ends in `_s`."""
    recogniser = Recogniser.load(folder)
    figures: Figures = {}
    together = []
    for kind in ("seen", "unseen"):
        clips = _clips(Bank(held_out / kind))[: extent.clips]
        together += clips
        for figure, value in _sentences(recogniser, clips).items():
            figures[f"{kind} voices: {figure}"] = value
        progress.say(f"{name}: {kind} voices measured", **_matching(figures, f"{kind} voices: WER"))
    for count in (2, 3, 4):
        figures |= _joined(recogniser, together, count, extent.joined)
    progress.say(f"{name}: joined sentences measured", **_matching(figures, "joined"))
    for sound, waveforms in sounds_without_speech().items():
        figures |= _without_speech(recogniser, sound, waveforms[: extent.sounds])
    progress.say(f"{name}: sounds without speech measured", **_matching(figures, "empty"))
    checked = [clip.waveform for clip in together[: extent.checked]]
    figures["the same words from transformers"] = 100 * agreeing(folder, recogniser, checked) / len(checked)
    return figures


def quick_figures(recogniser: Recogniser, held_out: Path, clips: int) -> Figures:
    """Word errors of the first clips of both kinds, alone and three in a row: does a training go well?"""
    figures: Figures = {}
    together = []
    for kind in ("seen", "unseen"):
        chosen = _clips(Bank(held_out / kind))[:clips]
        together += chosen
        figures[f"{kind} WER"] = word_error_rate(_heard(recogniser.trimmed, chosen))
    windows = _in_a_row(together, 3, clips // 2)
    figures["3 joined WER"] = word_error_rate(_heard(recogniser.trimmed, windows))
    figures["3 joined WER with timestamps"] = word_error_rate(_heard(_timed(recogniser), windows))
    return figures


def _sentences(recogniser: Recogniser, clips: list[_Spoken]) -> Figures:
    trimmed = _heard(recogniser.trimmed, clips)
    full_window = _heard(recogniser.full_window, clips)
    timed = _timed(recogniser)([clip.waveform for clip in clips])
    return {
        "WER": word_error_rate(trimmed),
        "exact": exact_share(trimmed),
        "WER in a 30 s window": word_error_rate(full_window),
        "exact in a 30 s window": exact_share(full_window),
        "WER with white noise at 20 dB": word_error_rate(_heard(recogniser.trimmed, _noisy(clips, 20))),
        "WER with white noise at 10 dB": word_error_rate(_heard(recogniser.trimmed, _noisy(clips, 10))),
        "WER with timestamps": word_error_rate(
            (clip.words, heard.words) for clip, heard in zip(clips, timed, strict=True)
        ),
        **_timestamp_figures(recogniser, clips, timed),
    }


def _timestamp_figures(recogniser: Recogniser, clips: list[_Spoken], timed: list[Heard]) -> Figures:
    """How many have one start and one end around the words, and how far off these are."""
    vocabulary = recogniser.vocabulary
    off_start_s, off_end_s = [], []
    for clip, heard in zip(clips, timed, strict=True):
        places = [index for index, token in enumerate(heard.tokens) if token >= vocabulary.first_timestamp]
        if places == [0, len(heard.tokens) - 1]:
            start, end = (0.02 * (heard.tokens[place] - vocabulary.first_timestamp) for place in places)
            off_start_s.append(abs(start - clip.start_s))
            off_end_s.append(abs(end - clip.end_s))
    return {
        "timestamps well formed": 100 * len(off_start_s) / len(clips),
        "start off by_s": float(np.mean(off_start_s)) if off_start_s else float("nan"),
        "end off by_s": float(np.mean(off_end_s)) if off_end_s else float("nan"),
    }


def _joined(recogniser: Recogniser, clips: list[_Spoken], count: int, number: int) -> Figures:
    windows = _in_a_row(clips, count, number)
    return {
        f"{count} joined: WER": word_error_rate(_heard(recogniser.trimmed, windows)),
        f"{count} joined: WER in a 30 s window": word_error_rate(_heard(recogniser.full_window, windows)),
        f"{count} joined: WER with timestamps": word_error_rate(_heard(_timed(recogniser), windows)),
    }


def _in_a_row(clips: list[_Spoken], count: int, number: int) -> list[_Spoken]:
    """`number` windows with `count` sentences of several voices, 0.3 to 0.8 s apart."""
    rng = random.Random(count)
    windows = []
    for _ in range(number):
        chosen = rng.sample(clips, count)
        parts = []
        for clip in chosen:
            parts += [clip.waveform, np.zeros(int(SAMPLE_RATE_HZ * rng.uniform(0.1, 0.6)), np.float32)]
        windows.append(_Spoken(np.concatenate(parts), " ".join(clip.words for clip in chosen), 0, 0))
    return windows


def _without_speech(recogniser: Recogniser, sound: str, waveforms: list[np.ndarray]) -> Figures:
    heard = (
        recogniser.trimmed(waveforms)
        + recogniser.full_window(waveforms)
        + _timed(recogniser)(waveforms)
    )
    return {f"{sound}: empty": 100 * sum(not found.words for found in heard) / len(heard)}


def _timed(recogniser: Recogniser) -> Listen:
    return lambda waveforms: recogniser.trimmed(waveforms, with_timestamps=True)


def _heard(listen: Listen, clips: list[_Spoken]) -> list[tuple[str, str]]:
    """(said, heard) for every clip."""
    heard = listen([clip.waveform for clip in clips])
    return [(clip.words, found.words) for clip, found in zip(clips, heard, strict=True)]


def _noisy(clips: list[_Spoken], ratio_db: float) -> list[_Spoken]:
    rng = np.random.default_rng(int(ratio_db))
    noisy = []
    for clip in clips:
        level = np.sqrt(np.mean(clip.waveform**2)) * 10 ** (-ratio_db / 20)
        noise = rng.standard_normal(len(clip.waveform)).astype(np.float32)
        noisy.append(_Spoken(clip.waveform + level * noise, clip.words, clip.start_s, clip.end_s))
    return noisy


def _clips(bank: Bank) -> list[_Spoken]:
    return [
        _Spoken(with_silence(bank, clip), clip.words, 0.1, 0.1 + clip.length / SAMPLE_RATE_HZ) for clip in bank.clips
    ]


def _matching(figures: Figures, part: str) -> Figures:
    return {name: value for name, value in figures.items() if part in name}
