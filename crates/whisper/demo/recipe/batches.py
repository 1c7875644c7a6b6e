"""Batches: which clips go together, how they lie in their windows, and what must be heard in them."""

import random
from dataclasses import dataclass

import numpy as np
import torch

from recipe.augment import Augmenter
from recipe.bank import Bank, Clip
from recipe.curriculum import Stage
from recipe.features import SAMPLE_RATE_HZ, SAMPLES_PER_POSITION, WINDOW_POSITIONS, padded
from recipe.pronounce import Phonemes
from recipe.targets import IGNORED, Segment, Target, TargetMaker
from recipe.tokenizer import Vocabulary

# Of the tokens that the decoder reads, so that it also listens after a mistake of its own.
_CORRUPTED = 0.12
# Sentences of two seconds; what does not fit is left out or cut off.
_MOST_IN_FULL_WINDOW = 7
_WINDOW_SAMPLES = WINDOW_POSITIONS * SAMPLES_PER_POSITION


@dataclass(frozen=True)
class Batch:
    """mel [batch, 80, frames]; read and answers [batch, length]; phonemes of each row for CTC."""

    mel: torch.Tensor
    read: torch.Tensor
    answers: torch.Tensor
    phonemes: list[list[int]]


@dataclass(frozen=True)
class Share:
    """One worker's part of batches that `workers` of them make together; `size` is the whole batch's."""

    size: int
    worker: int
    workers: int
    # The same for all workers.
    seed: int


@dataclass(frozen=True)
class _Plan:
    """What all workers must agree on, so that they compute batches of one size."""

    clips: list[Clip]
    # Sentences in a row. The same for the whole batch, or its rows would be of very different lengths.
    joined: int
    is_full_window: bool


class BatchMaker:
    """Endless batches for one of several workers that train together, each on its share of every batch."""

    def __init__(self, bank: Bank, vocabulary: Vocabulary, phonemes: Phonemes, share: Share) -> None:
        self._bank = bank
        self._vocabulary = vocabulary
        self._phonemes = phonemes
        self._share = share
        self._shared = random.Random(share.seed)
        own_seed = share.seed * 64 + share.worker + 1
        self._own = random.Random(own_seed)
        self._noise = torch.Generator().manual_seed(own_seed)
        self._augmenter = Augmenter(bank, own_seed)
        self._targets = TargetMaker(vocabulary, [clip.words for clip in bank.clips], own_seed)
        self._by_longest: dict[float, list[Clip]] = {}

    def batch(self, stage: Stage) -> Batch:
        plan = self._plan(stage)
        self._augmenter.strength = stage.augmentation
        waveforms, targets, phonemes = [], [], []
        for clip in plan.clips[self._share.worker :: self._share.workers]:
            with_timestamps = self._own.random() < stage.timestamps
            with_prompt = self._own.random() < stage.prompts
            waveform, segments = self._window(clip, plan, stage, with_timestamps)
            waveforms.append(waveform)
            targets.append(self._targets.target(segments, with_timestamps, with_prompt))
            phonemes.append([p for s in segments if s.end_s for p in self._phonemes.of_sentence(s.words)])
        positions = self._positions(max(map(len, waveforms)), plan, stage)
        mel = self._augmenter.mel(padded(waveforms, positions), list(map(len, waveforms)))
        read, answers = self._token_rows(targets)
        return Batch(mel, read, answers, phonemes)

    def _plan(self, stage: Stage) -> _Plan:
        rng = self._shared
        is_full_window = rng.random() < stage.full_window
        is_joined = rng.random() < (0.75 if is_full_window else stage.joined)
        most_joined = _MOST_IN_FULL_WINDOW if is_full_window else stage.most_joined
        joined = rng.randint(2, most_joined) if is_joined else 1
        # Longer windows in smaller batches, so that every update takes roughly as long.
        size = self._share.size // (4 if is_full_window else 2 if is_joined else 1)
        # Neighbours in length, so that little of the batch is padding.
        candidates = rng.choices(self._clips_up_to(stage.longest_clip_s), k=6 * size)
        candidates.sort(key=lambda clip: clip.length + rng.randrange(3_000))
        start = rng.randint(0, len(candidates) - size)
        return _Plan(candidates[start : start + size], joined, is_full_window)

    def _clips_up_to(self, longest_s: float | None) -> list[Clip]:
        if longest_s is None:
            return self._bank.clips
        if longest_s not in self._by_longest:
            shortest_first = sorted(self._bank.clips, key=lambda clip: clip.length)
            limit = int(longest_s * SAMPLE_RATE_HZ)
            self._by_longest[longest_s] = [clip for clip in shortest_first if clip.length < limit]
        return self._by_longest[longest_s]

    def _window(self, clip: Clip, plan: _Plan, stage: Stage, may_cut: bool) -> tuple[np.ndarray, list[Segment]]:
        """Samples and what is said in them; the last sentence is cut by the window's end only if it may."""
        if self._own.random() < stage.empty:
            length = clip.length * plan.joined
            return self._augmenter.without_speech(min(length, _WINDOW_SAMPLES)), []
        clips = [clip, *self._own.choices(self._bank.clips, k=plan.joined - 1)]
        return self._spoken(clips, self._lead_samples(plan), may_cut)

    def _spoken(self, clips: list[Clip], lead: int, may_cut: bool) -> tuple[np.ndarray, list[Segment]]:
        """The sentences in a row, with pauses."""
        parts, segments, end = [np.zeros(lead, np.float32)], [], lead
        for clip in clips:
            pause = self._samples(0.1, 1.2) if segments else 0
            waveform, spoken = self._augmenter.voice(self._bank.waveform(clip))
            start = end + pause
            is_whole = start + len(waveform) <= _WINDOW_SAMPLES
            if not is_whole and (not may_cut or start > _WINDOW_SAMPLES - SAMPLE_RATE_HZ // 2):
                break
            parts += [np.zeros(pause, np.float32), waveform]
            end = start + len(waveform)
            end_s = (start + spoken) / SAMPLE_RATE_HZ if is_whole else None
            segments.append(Segment(clip.words, start / SAMPLE_RATE_HZ, end_s))
            if not is_whole:
                break
        parts.append(np.zeros(self._samples(0, 0.25), np.float32))
        return self._augmenter.surroundings(np.concatenate(parts)[:_WINDOW_SAMPLES]), segments

    def _lead_samples(self, plan: _Plan) -> int:
        """Silence before the first word: mostly a breath, in full windows up to ten seconds."""
        if plan.is_full_window and self._own.random() < 0.5:
            return self._samples(0, 10)
        return self._samples(0, 0.3) if self._own.random() < 0.85 else self._samples(0.3, 1)

    def _samples(self, low_s: float, high_s: float) -> int:
        return int(SAMPLE_RATE_HZ * self._own.uniform(low_s, high_s))

    def _positions(self, longest: int, plan: _Plan, stage: Stage) -> int:
        """Positions of the encoder, in steps of 32: mostly a little more than the audio has."""
        if plan.is_full_window:
            return WINDOW_POSITIONS
        kind = self._own.random()
        if kind < 0.7:
            margin = self._own.randint(0, 8)
        elif kind < 0.94:
            margin = self._own.randint(0, min(60, stage.widest_margin))
        else:
            margin = self._own.randint(0, stage.widest_margin)
        positions = -(-longest // SAMPLES_PER_POSITION) + margin
        return min(WINDOW_POSITIONS, (positions + 31) // 32 * 32)

    def _token_rows(self, targets: list[Target]) -> tuple[torch.Tensor, torch.Tensor]:
        """[batch, length] each, in steps of 8; some of the text tokens that are read are wrong."""
        length = (max(len(target.read) for target in targets) + 7) // 8 * 8
        read = torch.full((len(targets), length), self._vocabulary.end)
        answers = torch.full((len(targets), length), IGNORED)
        for row, target in enumerate(targets):
            read[row, : len(target.read)] = torch.tensor(target.read)
            answers[row, : len(target.answers)] = torch.tensor(target.answers)
        is_corrupted = (torch.rand(read.shape, generator=self._noise) < _CORRUPTED) & (read < self._vocabulary.end)
        # The first 256 tokens are single bytes, which hardly occur.
        wrong = torch.randint(256, self._vocabulary.end, read.shape, generator=self._noise)
        return torch.where(is_corrupted, wrong, read), answers
