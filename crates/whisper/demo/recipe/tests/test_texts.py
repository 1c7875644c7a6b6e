from pathlib import Path

from recipe.texts import held_out_sentences, training_sentences

FIXTURES = Path(__file__).parents[5] / "tests" / "fixtures" / "audio"


def test_held_out_sentences_are_never_trained():
    # 40 000 draws meet most held-out sentences by chance, were they not left out.
    assert not set(training_sentences(40_000)) & set(held_out_sentences())


def test_spoken_fixtures_of_the_project_are_held_out():
    words = {path.read_text().strip() for path in FIXTURES.rglob("*.txt")}
    assert len(words) > 20
    assert words <= set(held_out_sentences())


def test_training_text_is_the_same_every_time():
    assert training_sentences(300) == training_sentences(300)
