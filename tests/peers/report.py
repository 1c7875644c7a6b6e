"""The tables of a run, in Markdown."""

from collections.abc import Mapping, Sequence

from catalogue import OURS
from figures import Figures, Race, Row
from machine import Machine

TITLES = {
    "engines": "In process",
    "avx2": "In process, nothing above AVX2",
    "wire": "Through the Wyoming port",
}
NOTES = {
    "engines": (
        "Milliseconds from samples to words. `N × 10 s` are N utterances at once, until the last one's words: a batch"
        " for wyoming-stt and transformers, workers of one thread each for faster-whisper, whisper.cpp and OpenVINO."
        " OpenVINO int8 also rounds what comes into the encoder's products, by spectrograms made up for it."
    ),
    "avx2": (
        "whisper.cpp is the registry's wheel, built for AVX2; above, it is compiled for this CPU where there is a"
        " compiler, as its version tells. Of wyoming-stt all is limited but for the encoder's last norm and the"
        " sum of exponentials over the vocabulary."
    ),
    "wire": (
        "Milliseconds from the end of audio to the words, of N connections at once to the last one's words; starts from"
        " the start of the process, files in the cache of the system (the first start of wyoming-stt int8 keeps the"
        " packed weights, which later ones read). Memory after all of it. The audio's end comes"
        " 0.3 s after its last chunk. wyoming-faster-whisper decodes greedily here; by itself it takes a beam of 5."
    ),
}


def markdown(
    figures: Figures,
    machine: Machine,
    threads: int,
    versions: Mapping[str, str],
    left_out: Sequence[str],
) -> str:
    """The whole report."""
    parts = [
        "# wyoming-stt beside its peers",
        f"Made by `tests/peers/run`. {machine.sentence()}; {threads} threads for everybody. Medians of"
        " rounds in which all take turns.",
        "Checkpoints of the official shapes with random weights, made so that every engine says the same 32 words"
        " whatever it hears: speed is compared, accuracy is not. All decode greedily, without timestamps in process.",
    ]
    for table, title in TITLES.items():
        for model in figures.models(table):
            rows = figures.rows(table, model)
            heading = f"## {title}: {model}, {figures.rounds(rows)} rounds"
            parts += [heading, table_of(figures, rows), races(figures, rows)]
        if figures.models(table):
            parts.append(NOTES[table])
    parts += stages(figures)
    if versions:
        parts += ["## Versions", "\n".join(f"- {label}: {version}" for label, version in versions.items())]
    if left_out:
        parts += ["## Left out", "\n".join(f"- {reason}" for reason in left_out)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table_of(figures: Figures, rows: Sequence[Row]) -> str:
    """Medians, the least of each column in bold."""
    cases = figures.cases(rows)
    lines = [cells(["", *cases]), cells(["---"] * (len(cases) + 1))]
    bests = {case: figures.best(rows, case) for case in cases}
    for row in rows:
        shown = []
        for case in cases:
            value, best = figures.median(row, case), bests[case]
            text = number(value)
            shown.append(f"**{text}**" if best is not None and best[0] == row else text)
        lines.append(cells([row.title, *shown]))
    return "\n".join(lines)


def races(figures: Figures, rows: Sequence[Row]) -> str:
    """Our best over the peers' best, with the whole window and with any."""
    cases = figures.cases(rows)
    lines = [cells(["ratio to the best peer", *cases]), cells(["---"] * (len(cases) + 1))]
    several = len({row.contender for row in rows if row.family != OURS}) > 1
    ways = [("whole window", False)]
    if any(row.window != "exact" for row in rows):
        ways.append(("any window", True))
    for name, trimmed in ways:
        found = [figures.race(rows, case, trimmed=trimmed) for case in cases]
        lines.append(cells([name, *(ratio(race, named=several) for race in found)]))
    return "\n".join(lines)


def ratio(race: Race | None, *, named: bool) -> str:
    """With the peer's name, where there are several."""
    if race is None:
        return ""
    return f"{race.ratio:.2f} ({race.peer.label})" if named else f"{race.ratio:.2f}"


def stages(figures: Figures) -> list[str]:
    """Where our time goes."""
    lines = []
    for table in ("engines", "avx2"):
        for model in figures.models(table):
            for row in figures.rows(table, model):
                if row.family == OURS:
                    # Several at once overlap.
                    alone = [case for case in figures.cases([row]) if "×" not in case]
                    lines += [stage(figures, row, case) for case in alone]
    lines = [line for line in lines if line]
    if not lines:
        return []
    head = [cells(["", "case", "mel", "encoder", "decoder"]), cells(["---"] * 5)]
    return ["## Where wyoming-stt's time goes", "\n".join(head + lines)]


def stage(figures: Figures, row: Row, case: str) -> str:
    """One line."""
    parts = figures.part_medians(row, case)
    if not parts:
        return ""
    limit = ", AVX2" if row.table == "avx2" else ""
    named = (parts[name] for name in ("mel", "encode", "decode"))
    return cells([f"{row.model}{limit}, {row.title}", case, *(number(value) for value in named)])


def number(value: float | None) -> str:
    """Three digits are enough."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def cells(texts: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(texts)} |"
