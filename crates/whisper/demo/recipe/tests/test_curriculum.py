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
