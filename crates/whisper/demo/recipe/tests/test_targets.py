from pathlib import Path

from recipe.targets import IGNORED, Segment, TargetMaker
from recipe.tokenizer import Vocabulary

VOCABULARY = Vocabulary(Path(__file__).parents[2] / "model" / "tokenizer.json")
TARGETS = TargetMaker(VOCABULARY, ["Cancel the timer."], seed=1)

START = [VOCABULARY.start, VOCABULARY.english, VOCABULARY.transcribe]
TWO = [Segment("Stop.", 0.5, 1.0), Segment("Mute.", 1.52, 2.0)]
STOP, MUTE = VOCABULARY.encode("Stop."), VOCABULARY.encode("Mute.")


def check(segments: list[Segment], with_timestamps: bool, expected: list[int]) -> None:
    target = TARGETS.target(segments, with_timestamps, with_prompt=False)
    assert target.read == expected[:-1]
    assert target.answers == expected[1:]


def time(seconds: float) -> int:
    return VOCABULARY.id(f"<|{seconds:.2f}|>")


def test_plain_text_follows_the_no_timestamps_token():
    check(TWO, False, [*START, VOCABULARY.no_timestamps, *STOP, *MUTE, VOCABULARY.end])


def test_every_sentence_lies_between_its_times():
    spoken = [time(0.5), *STOP, time(1.0), time(1.52), *MUTE, time(2.0)]
    check(TWO, True, [*START, *spoken, VOCABULARY.end])


def test_cut_off_sentence_has_only_its_start():
    spoken = [time(0.5), *STOP, time(1.0), time(29.0)]
    check([TWO[0], Segment("Mute.", 29.0, None)], True, [*START, *spoken, VOCABULARY.end])


def test_no_speech_stands_in_the_place_of_the_language():
    target = TARGETS.target([], with_timestamps=False, with_prompt=False)
    assert target.read == [*START, VOCABULARY.no_timestamps]
    assert target.answers == [VOCABULARY.no_speech, IGNORED, IGNORED, VOCABULARY.end]


def test_prompt_is_read_but_not_asked():
    target = TARGETS.target(TWO, with_timestamps=False, with_prompt=True)
    start = target.read.index(VOCABULARY.start)
    assert target.read[0] == VOCABULARY.previous
    assert target.answers[:start] == [IGNORED] * start
    assert target.answers[start] == VOCABULARY.english
