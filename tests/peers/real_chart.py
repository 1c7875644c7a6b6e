"""The chart of a run on real weights: accuracy across, milliseconds down, an engine a point. Plain SVG.

Names stand in a column at the right, each with a line to its point, so that points may lie as near as they like.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log
from statistics import mean

from accuracy import Score
from catalogue import OURS
from chart import COLOURS, INK, text
from figures import Row
from real_report import title

WIDTH = 980
LEFT, PLOT_RIGHT, NAMES = 64, 560, 616
# From a name to the one below.
LINE = 18
HEAD = 64
FOOT = 56
SHORTEST = 320
MARGIN = 14
GRID = "#d0d7de"
# Milliseconds that may be written at the axis.
TICKS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


@dataclass(frozen=True)
class Point:
    """An engine, in pixels."""

    x: float
    y: float
    row: Row
    score: Score


@dataclass(frozen=True)
class Frame:
    """From figures to pixels: per cent linear, milliseconds logarithmic."""

    top: float
    height: float
    # Per cent at the left and right edge.
    least: float
    most: float
    # Milliseconds at the upper and lower edge.
    fastest: float
    slowest: float

    def x(self, share: float) -> float:
        """Of per cent."""
        return LEFT + (PLOT_RIGHT - LEFT) * (share - self.least) / (self.most - self.least)

    def y(self, milliseconds: float) -> float:
        """More are further down."""
        return self.top + self.height * log(milliseconds / self.fastest) / log(self.slowest / self.fastest)


def svg(found: Mapping[Row, Score], subtitle: str) -> str:
    """A plot for each model, below one another."""
    body = [text(10, 20, "Accuracy and time on OpenAI's weights and people: best at the top right", bold=True)]
    body.append(text(10, 40, subtitle))
    top = 40.0
    for model in dict.fromkeys(row.model for row in found):
        plot, top = plotted(model, {row: it for row, it in found.items() if row.model == model}, top)
        body += plot
    height = round(top + 10)
    frame = f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}'>"
    return "\n".join([frame, f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>", *body, "</svg>"]) + "\n"


def plotted(model: str, found: Mapping[Row, Score], top: float) -> tuple[list[str], float]:
    """The plot of a model, and where it ends."""
    frame = framed(list(found.values()), top + HEAD, max(SHORTEST, LINE * len(found)))
    points = [Point(frame.x(it.share), frame.y(it.median_ms), row, it) for row, it in found.items()]
    points.sort(key=lambda point: (point.y, -point.x))
    names = spread([point.y for point in points], LINE, frame.top, frame.top + frame.height)
    across = "values of orders understood" if any(it.slots for it in found.values()) else "words right"
    bottom = frame.top + frame.height
    body = [text(10, round(top + 32), model, bold=True), *grid(frame)]
    body.append(text((LEFT + PLOT_RIGHT) / 2, round(bottom + 40), f"per cent of {across}", anchor="middle"))
    body.append(text(10, round(frame.top - 12), "ms, median"))
    for point, y in zip(points, names, strict=True):
        body += named(point, y)
    return body, bottom + FOOT


def framed(found: Sequence[Score], top: float, height: float) -> Frame:
    """Edges with some room around all points."""
    shares, times = [it.share for it in found], [it.median_ms for it in found]
    return Frame(
        top=top,
        height=height,
        least=floor(min(shares) - 0.5),
        most=ceil(max(shares) + 0.5),
        fastest=min(times) / 1.25,
        slowest=max(times) * 1.25,
    )


def spread(wanted: Sequence[float], least: float, top: float, bottom: float) -> list[float]:
    """Places in the same order, no nearer than `least`, between the two edges, and as near to the wanted as can be.

    Names that collide are moved as one: it is the isotonic regression of their places less those of a tight column.
    """
    groups: list[list[float]] = []
    for index, place in enumerate(wanted):
        groups.append([place - index * least])
        while len(groups) > 1 and mean(groups[-2]) > mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    lowest = max(top, bottom - (len(wanted) - 1) * least)
    starts = [min(max(mean(group), top), lowest) for group in groups for _ in group]
    return [start + index * least for index, start in enumerate(starts)]


def grid(frame: Frame) -> list[str]:
    """Lines and numbers of both axes."""
    lines = []
    bottom = frame.top + frame.height
    step = max(1, round((frame.most - frame.least) / 8))
    for share in range(int(frame.least), int(frame.most) + 1, step):
        x = frame.x(share)
        lines.append(line(x, frame.top, x, bottom, GRID))
        lines.append(text(x, round(bottom + 18), str(share), anchor="middle"))
    for tick in TICKS:
        if frame.fastest <= tick <= frame.slowest:
            y = frame.y(tick)
            lines.append(line(LEFT, y, PLOT_RIGHT, y, GRID))
            lines.append(text(LEFT - 8, round(y + 4), str(tick), anchor="end"))
    return lines


def named(point: Point, y: float) -> list[str]:
    """A point, its name with its figures, and a line between the two."""
    colour = COLOURS.get(point.row.family, COLOURS["peer"])
    label = f"{title(point.row).replace('`', '')}: {point.score.share:.1f} %, {point.score.median_ms:.0f} ms"
    return [
        line(point.x, point.y, PLOT_RIGHT + MARGIN, y, GRID),
        line(PLOT_RIGHT + MARGIN, y, NAMES - 6, y, GRID),
        f"<circle cx='{point.x:.1f}' cy='{point.y:.1f}' r='5' fill='{colour}' stroke='#ffffff'/>",
        text(NAMES, round(y + 4), label),
    ]


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """A thin one."""
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}'/>"
