"""Greedy recognition, as plain as possible: for measuring, not for serving."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recipe import export
from recipe.features import SAMPLES_PER_POSITION, WINDOW_POSITIONS, log_mel, padded
from recipe.model import Whisper
from recipe.tokenizer import Vocabulary

# Silence behind the longest clip of a trimmed batch: 0.3 s.
_MARGIN_POSITIONS = 15
# Four sentences with timestamps have some sixty.
_MOST_TOKENS = 100


@dataclass(frozen=True)
class Heard:
    """What was recognised in one window; `tokens` ends before endoftext."""

    tokens: list[int]
    words: str


class Recogniser:
    """A model with its tokens."""

    def __init__(self, model: Whisper, vocabulary: Vocabulary) -> None:
        self.model = model
        self.vocabulary = vocabulary

    @classmethod
    def load(cls, folder: Path) -> "Recogniser":
        return cls(*export.load(folder))

    def trimmed(self, waveforms: list[np.ndarray], with_timestamps: bool = False) -> list[Heard]:
        """In windows that end shortly after the audio."""
        return self._by_length(waveforms, 32, _trimmed_positions, with_timestamps)

    def full_window(self, waveforms: list[np.ndarray], with_timestamps: bool = False) -> list[Heard]:
        """In windows of 30 s."""
        return self._by_length(waveforms, 8, lambda _: WINDOW_POSITIONS, with_timestamps)

    def _by_length(
        self,
        waveforms: list[np.ndarray],
        batch: int,
        positions: Callable[[list[np.ndarray]], int],
        with_timestamps: bool,
    ) -> list[Heard]:
        order = sorted(range(len(waveforms)), key=lambda index: len(waveforms[index]))
        heard: dict[int, Heard] = {}
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            window = [waveforms[index] for index in chosen]
            mel = log_mel(padded(window, positions(window)))
            heard.update(zip(chosen, self.greedy(mel, with_timestamps), strict=True))
        return [heard[index] for index in range(len(waveforms))]

    @torch.inference_mode()
    def greedy(self, mel: torch.Tensor, with_timestamps: bool) -> list[Heard]:
        """[batch, 80, frames] → the most probable token, again and again."""
        vocabulary = self.vocabulary
        prefix = [vocabulary.start, vocabulary.english, vocabulary.transcribe]
        if not with_timestamps:
            prefix.append(vocabulary.no_timestamps)
        encoded = self.model.encoder(mel)
        tokens = torch.tensor([prefix]).repeat(len(mel), 1)
        is_done = torch.zeros(len(mel), dtype=torch.bool)
        while not is_done.all() and tokens.shape[1] < len(prefix) + _MOST_TOKENS:
            logits = self.model.decoder(tokens, encoded)[:, -1]
            logits[:, vocabulary.end + 1 : vocabulary.first_timestamp] = -torch.inf
            if not with_timestamps:
                logits[:, vocabulary.first_timestamp :] = -torch.inf
            elif tokens.shape[1] == len(prefix):
                logits[:, : vocabulary.first_timestamp] = -torch.inf
            following = logits.argmax(-1).masked_fill(is_done, vocabulary.end)
            is_done |= following == vocabulary.end
            tokens = torch.cat([tokens, following[:, None]], dim=1)
        return [self._heard(row) for row in tokens[:, len(prefix) :].tolist()]

    def _heard(self, row: list[int]) -> Heard:
        tokens = row[: row.index(self.vocabulary.end)] if self.vocabulary.end in row else row
        return Heard(tokens, self.vocabulary.decode(tokens))


def _trimmed_positions(waveforms: list[np.ndarray]) -> int:
    longest = max(map(len, waveforms))
    return min(WINDOW_POSITIONS, -(-longest // SAMPLES_PER_POSITION) + _MARGIN_POSITIONS)
