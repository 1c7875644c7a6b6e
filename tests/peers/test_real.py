"""Scores, tables and the chart of a run on real weights, on made-up transcripts."""

from pathlib import Path

import pytest
import real_chart
import spoken
from accuracy import Expected, is_understood, score, scores
from child import ChildError
from figures import Row, Sample
from machine import this
from real import arguments
from real_report import Measured, markdown
from rounds import Case, Setting, due

OURS = Row("engines", "tiny.en", "ours-int8", "wyoming-stt", "wyoming-stt int8", "auto")
PEER = Row("engines", "tiny.en", "peer-5", "peer", "peer int8, 5 beams", "exact")
CUT = Row("engines", "tiny.en", "peer-5", "peer", "peer int8, 5 beams", "dynamic")
FAILED = Row("engines", "tiny.en", "failed", "failed", "failed f32", "exact")
SERVER = Row("wire", "tiny.en", "stt", "wyoming-stt", "wyoming-stt as it comes", "exact")
OTHER = Row("wire", "tiny.en", "other", "other", "other server", "exact")

EXPECTED = {
    "read": Expected(words="he could wait no longer"),
    "order": Expected(slots=("twelve ounce", " brown sugar")),
    "other order": Expected(slots=("shots",)),
}


def sample(row: Row, case: str, value: float, text: str = "") -> Sample:
    return Sample(row, case, value, text=text)


def measured() -> list[Sample]:
    return [
        sample(OURS, "read", 90, "He could wait no longer."),
        sample(OURS, "order", 10, "A 12 oz coffee with brown sugar"),
        sample(OURS, "other order", 30, "One shot."),
        # A later round: its words do not count, its time does.
        sample(OURS, "order", 50, "nothing of the kind"),
        sample(PEER, "read", 900, "He could not wait longer."),
        sample(PEER, "order", 200, "A 12 oz coffee with brown"),
        sample(PEER, "other order", 400, "Two shots."),
        sample(FAILED, "read", 1, "he could wait no longer"),
        sample(SERVER, "order", 100, "a twelve ounce coffee with brown sugar"),
        sample(SERVER, "other order", 120, "shots"),
        sample(SERVER, "resident MB", 60),
        sample(SERVER, "start to words", 250),
        sample(OTHER, "order", 440, "brown sugar"),
        sample(OTHER, "other order", 440, "a shot"),
    ]


def run() -> Measured:
    samples = [*measured(), *(sample(CUT, it.case, it.value / 3, it.text) for it in measured() if it.row == PEER)]
    left_out = ["failed f32: ended", "failed f32: ended"]
    return Measured(samples, EXPECTED, this("model name\t: Some CPU\n"), 2, 3, {"peer": "1.0"}, left_out)


@pytest.mark.parametrize(
    ("value", "transcript", "understood"),
    [
        ("twelve ounce", "a 12 oz coffee", True),
        ("twelve ounce", "a 20 oz coffee", False),
        (" brown sugar", "With Brown-Sugar, please.", True),
        ("shots", "a single shot", True),
        ("shots", "", False),
    ],
)
def test_a_slot_is_understood_when_its_words_are_there(value: str, transcript: str, understood: bool) -> None:
    assert is_understood(value, transcript) == understood


def test_words_are_of_the_first_round_and_times_of_all() -> None:
    found = scores(measured(), EXPECTED)
    ours, peer = found[OURS], found[PEER]
    assert (ours.slots_found, ours.slots, ours.word_errors, ours.words) == (3, 3, 0, 5)
    assert (peer.slots_found, peer.slots, peer.word_errors) == (2, 3, 2)
    # Of orders only: 30 is the median of the first one's rounds, and the other one's time.
    assert (ours.median_ms, peer.median_ms) == (30, 300)
    assert ours.share == 100
    assert peer.share == pytest.approx(200 / 3)


def test_without_orders_words_and_all_times_count() -> None:
    expected = {name: it for name, it in EXPECTED.items() if it.words}
    found = score([it for it in measured() if it.row == PEER], expected)
    assert found is not None
    assert found.slot_share is None
    assert found.share == found.word_share == pytest.approx(60)
    assert found.median_ms == 900


def test_who_did_not_hear_all_has_no_score() -> None:
    assert FAILED not in scores(measured(), EXPECTED)


def test_the_report_has_each_engine_and_server() -> None:
    text = markdown(run())
    assert "2 spoken orders and 1 other recordings" in text
    assert "| wyoming-stt int8, `auto` | 100.0 % (3 of 3) | 0.0 % (0 of 5) | 30 | " in text
    assert "| peer int8, 5 beams, context cut | 66.7 % (2 of 3) | 40.0 % (2 of 5) | 100 | " in text
    places = [text.index(row) for row in ("wyoming-stt int8, `auto` |", "context cut |", "| peer int8, 5 beams | ")]
    assert places == sorted(places)
    assert " | 10.0 × |" in text
    assert "| wyoming-stt as it comes | 100.0 % (3 of 3) | 110 | " in text
    assert " | 1.00 | 250 | 60 |" in text
    assert "| other server | 66.7 % (2 of 3) | 440 | 440 | 0.25 |  |  |" in text
    assert text.count("- failed f32: ended") == 1


def test_the_chart_has_a_point_for_each_engine() -> None:
    svg = real_chart.svg(scores(run().of("engines"), EXPECTED), "a & b")
    assert svg.startswith("<svg") and "a &amp; b" in svg
    assert svg.count("<circle") == 3
    assert "peer int8, 5 beams: 66.7 %, 300 ms" in svg
    assert "per cent of values of orders understood" in svg


def test_more_accurate_is_further_right_and_slower_further_down() -> None:
    found = scores(measured(), EXPECTED)
    frame = real_chart.framed(list(found.values()), top=10, height=100)
    assert frame.x(found[OURS].share) > frame.x(found[PEER].share)
    assert 10 < frame.y(found[OURS].median_ms) < frame.y(found[PEER].median_ms) < 110


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([], []),
        ([20, 80], [20, 80]),
        ([50, 50], [45, 55]),
        ([0, 0, 50], [0, 10, 50]),
        ([20, 25, 90, 95, 96], [17.5, 27.5, 80, 90, 100]),
    ],
)
def test_names_keep_their_order_and_distance(wanted: list[float], places: list[float]) -> None:
    assert real_chart.spread(wanted, 10, top=0, bottom=100) == pytest.approx(places)


def test_orders_are_chosen_from_all_of_them() -> None:
    names = [str(number) for number in range(200)]
    assert spoken.evenly(names, 4) == ["0", "50", "100", "150"]
    assert spoken.evenly(names, 1000) == names


def test_later_rounds_repeat_what_is_timed() -> None:
    once, again = Case("read", (), is_repeated=False), Case("order", ())
    assert due([once, again], 0) == [once, again]
    assert due([once, again], 1) == [again]


@pytest.mark.parametrize(("script", "refused"), [(None, False), (["turn", "off"], True), (["anything"], False)])
def test_a_script_is_held_to_and_other_texts_are_taken(script: list[str] | None, refused: bool) -> None:
    class Process:
        def fault(self, what: str) -> ChildError:
            return ChildError(what)

    setting = Setting("tiny.en", Path(), Path(), script, None, 2, print, [], {})  # type: ignore[arg-type]
    if refused:
        with pytest.raises(ChildError, match="says 'anything', not the script"):
            setting.check(Process(), "anything")  # type: ignore[arg-type]
    else:
        setting.check(Process(), "anything")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [["--orders", "0"], ["--rounds", "x"], ["--models", "huge"]])
def test_a_wrong_number_or_name_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        arguments(wrong)
    assert end.value.code == 2
    assert wrong[1] in capsys.readouterr().err
