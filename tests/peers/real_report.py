"""The tables of a run on real weights, in Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import catalogue_real
from accuracy import Expected, Score, scores
from catalogue import OURS
from figures import Figures, Row, Sample
from machine import Machine
from report import cells, number

TITLES = {"engines": "In process", "wire": "Through the Wyoming port"}
NOTES = {
    "engines": (
        "Understood: values that an order names (drink, size, roast and so on) whose words are in the transcript."
        " Words wrong: put in, left out or changed, in the other recordings. Times are of orders, from samples to words."
        " wyoming-stt listens for speech first, as its server does. One hypothesis where no beams are told. f32 and int8:"
        " of f16 weights. Context cut: the encoder reads the audio and a margin, as with `dynamic`. OpenVINO int8 also"
        " rounds what comes into the encoder's products, by eight of the recordings"
        " whose words are counted here. whisper.cpp and faster-whisper decode doubtful results again at higher"
        " temperatures, as wyoming-stt does; OpenVINO and transformers do not."
    ),
    "wire": (
        "Milliseconds from `audio-stop` to the transcript; the audio is sent at once, `audio-stop` comes 0.3 s after"
        " its last chunk, so a pause at its end is already transcribed by then. Both servers read the same CTranslate2"
        " folder and have as many threads as they take by themselves. Start: to the first words, with files in the"
        " system's cache. At rest: resident memory three seconds after the last of the work."
    ),
}


@dataclass(frozen=True)
class Measured:
    """A run."""

    samples: Sequence[Sample]
    expected: Mapping[str, Expected]
    machine: Machine
    threads: int
    rounds: int
    versions: Mapping[str, str]
    left_out: Sequence[str]

    def of(self, table: str, model: str | None = None) -> list[Sample]:
        """The samples of a table."""
        return [it for it in self.samples if it.row.table == table and model in (None, it.row.model)]

    def models(self, table: str) -> list[str]:
        """In the order measured."""
        return list(dict.fromkeys(sample.row.model for sample in self.of(table)))

    def orders(self) -> dict[str, Expected]:
        """Recordings that are orders; all, where there are none."""
        return {name: it for name, it in self.expected.items() if it.slots} or dict(self.expected)

    def heard(self) -> str:
        """How many recordings."""
        orders = sum(bool(it.slots) for it in self.expected.values())
        read = len(self.expected) - orders
        return f"{orders} spoken orders and {read} other recordings" if orders else f"{read} recordings"

    def subtitle(self) -> str:
        """What was heard, on what."""
        return f"{self.heard()}; {threads(self.threads)} of {self.machine.name}"


def threads(count: int) -> str:
    """For people."""
    return "one thread" if count == 1 else f"{count} threads"


def markdown(measured: Measured) -> str:
    """The whole report."""
    parts = [
        "# Accuracy and time on OpenAI's weights and people",
        f"Made by `tests/peers/run --real`. {measured.machine.sentence()}; {threads(measured.threads)} for each engine."
        f" {measured.heard()}. All engines take turns, recording by recording. Accuracy is of the first round; of"
        f" {measured.rounds} rounds, those after the first repeat some recordings for time.",
    ]
    if measured.of("engines"):
        parts.append("![Accuracy across, milliseconds down](real.svg)")
    for model in measured.models("engines"):
        found = scores(measured.of("engines", model), measured.expected)
        parts += [f"## {TITLES['engines']}: {model}", engines(found)]
    if measured.of("engines"):
        parts.append(NOTES["engines"])
    for model in measured.models("wire"):
        parts += [f"## {TITLES['wire']}: {model}", servers(measured.of("wire", model), measured.orders())]
    if measured.of("wire"):
        parts.append(NOTES["wire"])
    if measured.versions:
        lines = (f"- {label}: {version}" for label, version in measured.versions.items())
        parts += ["## Versions", "\n".join(lines)]
    if measured.left_out:
        parts += ["## Left out", "\n".join(f"- {reason}" for reason in dict.fromkeys(measured.left_out))]
    return "\n\n".join(parts) + "\n"


def title(row: Row) -> str:
    """What tables and the chart call an engine."""
    if row.family == OURS:
        return f"{row.label}, `{row.window}`"
    return row.label if row.window == "exact" else f"{row.label}, context cut"


def engines(found: Mapping[Row, Score]) -> str:
    """From accurate to not, the fast first among equals."""
    base = next((it for row, it in found.items() if (row.contender, row.window) == ("ours-int8", "auto")), None)
    head = ["", "understood of orders", "words wrong", "ms, median", "nine of ten within", "beside wyoming-stt int8, `auto`"]
    lines = [cells(head), cells(["---"] * len(head))]
    for row, it in sorted(found.items(), key=lambda pair: (-pair[1].share, pair[1].median_ms)):
        ratio = f"{it.median_ms / base.median_ms:.1f} ×" if base else ""
        errors = f"{100 - it.word_share:.1f} % ({it.word_errors} of {it.words})"
        lines.append(cells([title(row), slots(it), errors, number(it.median_ms), number(it.most_ms), ratio]))
    return "\n".join(lines)


def slots(it: Score) -> str:
    """In per cent, with the numbers."""
    return "" if it.slot_share is None else f"{it.slot_share:.1f} % ({it.slots_found} of {it.slots})"


def servers(samples: Sequence[Sample], expected: Mapping[str, Expected]) -> str:
    """Accuracy, time, start and memory; the last column compares medians with ours as it comes."""
    found, figures = scores(samples, expected), Figures(samples)
    base = next((it for row, it in found.items() if row.contender == catalogue_real.DEFAULT), None)
    head = ["", "understood of orders", "ms, median", "nine of ten within", "wyoming-stt as it comes beside it"]
    head += ["start, ms", "at rest, MB"]
    lines = [cells(head), cells(["---"] * len(head))]
    for row, it in found.items():
        heard = slots(it) or f"{it.word_share:.1f} % of words"
        ratio = f"{base.median_ms / it.median_ms:.2f}" if base else ""
        rest = [number(figures.median(row, case)) for case in ("start to words", "resident MB")]
        lines.append(cells([row.label, heard, number(it.median_ms), number(it.most_ms), ratio, *rest]))
    return "\n".join(lines)
