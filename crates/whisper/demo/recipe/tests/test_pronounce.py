import pytest

from recipe.pronounce import Phonemes, grammar_words, spoken_text, spoken_words
from recipe.texts import held_out_sentences


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Dim the lamp to 40%.", "Dim the lamp to forty percent."),
        ("Set an alarm for 7:05.", "Set an alarm for seven oh five."),
        ("Wake me up at 12 p.m.", "Wake me up at twelve p m."),
        ("What is 100 plus nine?", "What is one hundred plus nine?"),
    ],
)
def test_numbers_are_spoken_in_words(written: str, spoken: str):
    assert spoken_text(written) == spoken


def test_spoken_words_have_no_punctuation():
    assert spoken_words("Add milk, tea and 21 eggs to my to-do list.") == (
        "add milk tea and twenty one eggs to my to-do list".split()
    )


def test_every_word_has_phonemes():
    phonemes = Phonemes.from_espeak()
    assert grammar_words() <= phonemes.of_word.keys()
    assert all(phonemes.of_word.values())
    for words in held_out_sentences():
        assert max(phonemes.of_sentence(words)) < phonemes.count
