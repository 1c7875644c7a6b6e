"""Medians and ratios of what was measured. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Self

from catalogue import OURS


@dataclass(frozen=True)
class Row:
    """A contender with a window, in one of the tables."""

    # engines, avx2 or wire.
    table: str
    model: str
    contender: str
    family: str
    label: str
    window: str

    @property
    def title(self) -> str:
        """What a table calls it."""
        if self.window == "exact":
            return self.label
        return f"{self.label}, {'window' if self.family == OURS else 'context'} of the audio's length"


@dataclass(frozen=True)
class Sample:
    """One measurement: milliseconds, or megabytes where the case says so."""

    row: Row
    case: str
    value: float
    # Of ours: milliseconds of each stage.
    parts: dict[str, float] = field(default_factory=dict)
    # The transcript, where it is scored.
    text: str = ""

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Of a file."""
        return cls(Row(**value["row"]), value["case"], value["value"], value["parts"], value.get("text", ""))


class Figures:
    """All measurements of a run."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.values: dict[Row, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.parts: dict[Row, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
        for sample in samples:
            self.values[sample.row][sample.case].append(sample.value)
            if sample.parts:
                self.parts[sample.row][sample.case].append(sample.parts)

    def models(self, table: str) -> list[str]:
        """In the order measured."""
        return list(dict.fromkeys(row.model for row in self.values if row.table == table))

    def rows(self, table: str, model: str) -> list[Row]:
        """In the order measured, exact windows first."""
        found = [row for row in self.values if (row.table, row.model) == (table, model)]
        return sorted(found, key=lambda row: row.window != "exact")

    def cases(self, rows: Sequence[Row]) -> list[str]:
        """That any of them has."""
        return list(dict.fromkeys(case for row in rows for case in self.values[row]))

    def median(self, row: Row, case: str) -> float | None:
        """`None` where nothing was measured."""
        values = self.values.get(row, {}).get(case)
        return median(values) if values else None

    def spread(self, row: Row, case: str) -> tuple[float, float] | None:
        """Least and most."""
        values = self.values.get(row, {}).get(case)
        return (min(values), max(values)) if values else None

    def rounds(self, rows: Iterable[Row]) -> int:
        """Most measurements of one figure of theirs."""
        return max((len(values) for row in rows for values in self.values[row].values()), default=0)

    def best(self, rows: Iterable[Row], case: str) -> tuple[Row, float] | None:
        """The least median."""
        known = [(row, value) for row in rows if (value := self.median(row, case)) is not None]
        return min(known, key=lambda pair: pair[1], default=None)

    def race(self, rows: Sequence[Row], case: str, *, trimmed: bool) -> "Race | None":
        """Our best against the peers' best; with `trimmed` windows of the audio's length count too."""
        allowed = [row for row in rows if trimmed or row.window == "exact"]
        ours = self.best((row for row in allowed if row.family == OURS), case)
        peer = self.best((row for row in allowed if row.family != OURS), case)
        if ours is None or peer is None:
            return None
        return Race(*ours, *peer)

    def part_medians(self, row: Row, case: str) -> dict[str, float]:
        """Of each stage."""
        measured = self.parts.get(row, {}).get(case, [])
        return {name: median(parts[name] for parts in measured) for name in (measured[0] if measured else {})}


@dataclass(frozen=True)
class Race:
    """Ours and a peer."""

    ours: Row
    ours_value: float
    peer: Row
    peer_value: float

    @property
    def ratio(self) -> float:
        """Under 1 where ours needs less."""
        return self.ours_value / self.peer_value
