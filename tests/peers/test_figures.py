"""Medians, ratios, tables and the chart, on made-up measurements."""

import chart
import pytest
from figures import Figures, Row, Sample
from machine import this
from report import markdown

OURS = Row("engines", "tiny", "ours-int8", "wyoming-stt", "wyoming-stt int8", "exact")
TRIMMED = Row("engines", "tiny", "ours-int8", "wyoming-stt", "wyoming-stt int8", "dynamic")
SLOW = Row("engines", "tiny", "slow", "slow", "slow", "exact")
QUICK = Row("engines", "tiny", "quick", "quick", "quick f16", "exact")
REDUCED = Row("engines", "tiny", "quick", "quick", "quick f16", "dynamic")

CPUINFO = """\
processor\t: 0
model name\t: Some CPU
flags\t\t: fpu avx2 avx512_vnni
processor\t: 1
model name\t: Some CPU
flags\t\t: fpu avx2 avx512_vnni
"""


def figures() -> Figures:
    measured = [(OURS, [90, 110, 100]), (TRIMMED, [20]), (SLOW, [400]), (QUICK, [200, 1000, 190]), (REDUCED, [80])]
    return Figures(Sample(row, "3 s", float(value)) for row, values in measured for value in values)


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert figures().median(OURS, "3 s") == 100
    assert figures().median(QUICK, "3 s") == 200
    assert figures().median(QUICK, "30 s") is None
    assert figures().spread(OURS, "3 s") == (90, 110)
    assert figures().rounds([OURS, TRIMMED]) == 3


@pytest.mark.parametrize(("trimmed", "ratio", "peer"), [(False, 0.5, QUICK), (True, 0.25, REDUCED)])
def test_the_race_is_against_the_best_peer(trimmed: bool, ratio: float, peer: Row) -> None:
    race = figures().race(figures().rows("engines", "tiny"), "3 s", trimmed=trimmed)
    assert race is not None
    assert race.ratio == pytest.approx(ratio)
    assert race.peer == peer


def test_without_a_peer_there_is_no_race() -> None:
    alone = Figures([Sample(OURS, "3 s", 1.0)])
    assert alone.race([OURS], "3 s", trimmed=True) is None


def test_samples_survive_a_file() -> None:
    sample = Sample(OURS, "3 s", 1.5, {"mel": 0.5})
    assert Sample.from_json(sample.as_json()) == sample


def test_the_report_has_each_row_and_marks_the_best() -> None:
    text = markdown(figures(), this(CPUINFO), 2, {"quick": "1.0"}, ["other: not there"])
    assert "| wyoming-stt int8, window of the audio's length | **20** |" in text
    assert "| quick f16, context of the audio's length | 80 |" in text
    assert "| whole window | 0.50 (quick f16) |" in text
    assert "other: not there" in text
    assert "Some CPU, 2 cores, with avx2, avx512_vnni, without" in text


def test_the_chart_has_the_best_of_each_peer() -> None:
    svg = chart.svg(figures(), "a & b")
    assert svg.startswith("<svg") and "a &amp; b" in svg
    assert svg.count("<rect") == 1 + 5
