from dataclasses import replace

import pytest

from recipe.curriculum import stage_at


def test_first_lessons_are_short_clean_and_single():
    stage = stage_at(clips=0, passed=0.0)
    assert stage.longest_clip_s == 1.0
    assert (stage.augmentation, stage.joined, stage.full_window, stage.timestamps) == (0, 0, 0, 0)


def test_slow_machine_still_gets_the_whole_mixture():
    assert stage_at(clips=30_000, passed=0.5).most_joined == 4


def test_rate_rises_and_falls_with_the_time():
    rates = [stage_at(clips=int(400_000 * part), passed=part).rate for part in (0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0)]
    assert rates[0] < rates[1] < rates[2] == rates[3] == 1.0
    assert rates[3] > rates[4] > rates[5] > rates[6] == 0.02


def test_trained_model_gets_the_whole_mixture_at_once():
    first, last = (stage_at(clips, passed, is_going_on=True) for clips, passed in ((0, 0.0), (200_000, 1.0)))
    for stage in (first, last):
        assert replace(stage, rate=0, head_rate=0) == replace(stage_at(300_000, 0.8), rate=0, head_rate=0)


def test_new_phoneme_head_learns_before_the_trained_model_moves():
    first = stage_at(clips=0, passed=0.0, is_going_on=True)
    assert (first.rate, first.head_rate) == (0, 1)
    assert stage_at(clips=3_000, passed=0.01, is_going_on=True).rate < 0.1
    assert stage_at(clips=10_000, passed=0.0, is_going_on=True).rate == 1


@pytest.mark.parametrize("is_going_on", [False, True])
def test_rate_ends_low_but_never_at_zero(is_going_on: bool):
    stage = stage_at(clips=200_000, passed=1.0, is_going_on=is_going_on)
    assert stage.rate == stage.head_rate == 0.02
