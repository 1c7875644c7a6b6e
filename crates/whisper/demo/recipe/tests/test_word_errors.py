import pytest

from recipe.word_errors import exact_share, word_error_rate


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("Turn on the lamp.", "turn on the lamp", 0),
        ("Turn on the lamp.", "Turn off the lamp.", 25),
        ("Turn on the lamp.", "", 100),
        ("Stop.", "Stop the fan.", 200),
        ("Dim it to 5%.", "Dim it to 5 percent.", 0),
    ],
)
def test_word_errors_are_counted_without_punctuation(said: str, heard: str, errors: float):
    assert word_error_rate([(said, heard)]) == errors


def test_exact_share_minds_every_character():
    assert exact_share([("Stop.", "Stop."), ("Stop.", "Stop")]) == 50
