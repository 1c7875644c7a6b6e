"""How well transcripts fit what was said, and how long they took. Pure."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from figures import Row, Sample

sys.path.append(str(Path(__file__).resolve().parents[1] / "real"))

from words import Errors, normal


@dataclass(frozen=True)
class Expected:
    """Of one recording: every word, or the values that an order has to name."""

    words: str | None = None
    slots: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """Of one engine on all recordings."""

    # Values of orders that were understood, and all of them.
    slots_found: int
    slots: int
    # Words of the other recordings that were put in, taken out or changed, and all of them.
    word_errors: int
    words: int
    # Of a recording, in milliseconds: of orders where there are any, otherwise of all.
    median_ms: float
    # Nine of ten take no more.
    most_ms: float

    @property
    def slot_share(self) -> float | None:
        """In per cent; `None` without orders."""
        return 100 * self.slots_found / self.slots if self.slots else None

    @property
    def word_share(self) -> float:
        """Words that are right, in per cent."""
        return 100 * (1 - self.word_errors / max(1, self.words))

    @property
    def share(self) -> float:
        """What the chart shows: slots, without orders words."""
        return self.word_share if self.slot_share is None else self.slot_share


def is_understood(value: str, transcript: str) -> bool:
    """Whether the words of a slot stand in a transcript; a plural may lack its s."""
    wanted, heard = (" ".join(normal(text)) for text in (value, transcript))
    return wanted in heard or wanted.rstrip("s") in heard


def score(samples: Iterable[Sample], expected: Mapping[str, Expected]) -> Score | None:
    """Of the samples of one row. Words are those of the first round; a time is the median of a recording's rounds."""
    texts: dict[str, str] = {}
    times: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        if sample.case in expected:
            texts.setdefault(sample.case, sample.text)
            times[sample.case].append(sample.value)
    if set(texts) != set(expected):
        return None
    errors, found, asked = Errors(), 0, 0
    for name, text in texts.items():
        if (words := expected[name].words) is not None:
            errors.add(words, text)
        asked += len(expected[name].slots)
        found += sum(is_understood(value, text) for value in expected[name].slots)
    timed = [name for name in times if expected[name].slots] or list(times)
    spent = [median(times[name]) for name in timed]
    most = quantiles(spent, n=10)[-1] if len(spent) > 1 else spent[0]
    return Score(found, asked, errors.errors, errors.words, median(spent), most)


def scores(samples: Iterable[Sample], expected: Mapping[str, Expected]) -> dict[Row, Score]:
    """Of each engine that heard every recording, in the order in which they were measured."""
    by_row: dict[Row, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_row[sample.row].append(sample)
    found = {row: score(measured, expected) for row, measured in by_row.items()}
    return {row: value for row, value in found.items() if value is not None}
