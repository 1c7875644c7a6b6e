"""The chart of a run: for each model, some cases as bars, the shorter the better. Plain SVG."""

from collections.abc import Sequence
from html import escape

from catalogue import OURS
from figures import Figures, Row

CASES = ("3 s", "30 s", "8 × 10 s")
WIDTH = 860
LEFT = 330
RIGHT = 70
BAR = 16
GAP = 6
HEAD = 30
FONT = "font-family='system-ui, sans-serif' font-size='13'"
COLOURS = {OURS: "#1f6feb", "peer": "#9aa4b1"}
INK = "#24292f"


def svg(figures: Figures, subtitle: str) -> str:
    """All models of the engines' table, below one another."""
    body: list[str] = []
    top = 20
    body.append(text(10, top, "Milliseconds to the words, shorter is better", bold=True))
    top += 20
    body.append(text(10, top, subtitle))
    for model in figures.models("engines"):
        rows = figures.rows("engines", model)
        for case in CASES:
            shown = contenders(figures, rows, case)
            if not shown:
                continue
            top += HEAD
            body.append(text(10, top, f"{model}: {heading(case)}", bold=True))
            longest = max(value for _, value in shown)
            for row, value in shown:
                top += BAR + GAP
                body += bar(row, value, longest, top)
    height = top + 20
    frame = f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}'>"
    paper = f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>"
    return "\n".join([frame, paper, *body, "</svg>"]) + "\n"


def contenders(figures: Figures, rows: Sequence[Row], case: str) -> list[tuple[Row, float]]:
    """Ours with each precision and window, and the best configuration of each peer, from fast to slow."""
    ours = [(row, value) for row in rows if row.family == OURS and (value := figures.median(row, case)) is not None]
    best = []
    families = dict.fromkeys((row.family, row.window) for row in rows if row.family != OURS)
    for family, window in families:
        found = figures.best((row for row in rows if (row.family, row.window) == (family, window)), case)
        if found is not None:
            best.append(found)
    return sorted(ours + best, key=lambda pair: pair[1])


def heading(case: str) -> str:
    """For people."""
    count, times, seconds = case.rpartition(" × ")
    return f"{count} utterances of {seconds} at once" if times else f"one utterance of {seconds}"


def bar(row: Row, value: float, longest: float, baseline: int) -> list[str]:
    """Name, bar, number."""
    length = max(1.0, (WIDTH - LEFT - RIGHT) * value / longest)
    colour = COLOURS.get(row.family, COLOURS["peer"])
    return [
        text(LEFT - 8, baseline, row.title, anchor="end"),
        f"<rect x='{LEFT}' y='{baseline - BAR + 4}' width='{length:.1f}' height='{BAR}' fill='{colour}'/>",
        text(LEFT + length + 6, baseline, f"{value:.0f}"),
    ]


def text(x: float, baseline: int, words: str, *, bold: bool = False, anchor: str = "start") -> str:
    """One line."""
    weight = " font-weight='600'" if bold else ""
    return f"<text x='{x:.1f}' y='{baseline}' {FONT}{weight} fill='{INK}' text-anchor='{anchor}'>{escape(words)}</text>"
