"""As it comes (bytes, a detector of speech), the program hears people nearly as well as in f32."""

import json

import pytest
import recordings
from conftest import MODELS, REFERENCE
from words import Errors

# Words that may be wrong of those whose speakers' texts are known (95; numbers are told apart by their digits).
MOST_ERRORS = {"tiny.en": 8, "base": 9}
SHORT = [name for name in recordings.WORDS if recordings.WORDS[name]]


@pytest.mark.parametrize("window", ["dynamic", "exact"])
@pytest.mark.parametrize("model", MODELS)
def test_short_recordings_are_heard(model, window, transcribe, sounds):
    errors = Errors()
    for name, heard in zip(SHORT, transcribe(model, [sounds[name] for name in SHORT], "--window", window, "--language", "en")):
        errors.add(recordings.words(name), heard["text"])
    print(model, window, errors)
    assert errors.errors <= MOST_ERRORS[model], errors


@pytest.mark.parametrize("model", MODELS)
def test_long_audio_loses_nothing(model, transcribe, sounds):
    for name, heard in zip(recordings.LONG, transcribe(model, [sounds[name] for name in recordings.LONG], "--language", "en")):
        errors = Errors()
        errors.add(recordings.words(name), heard["text"])
        print(model, name, errors)
        assert errors.share <= 0.06, (name, errors, heard["text"])


def test_other_languages_are_detected_heard_and_translated(transcribe, shared):
    said = json.loads((shared / "languages" / "words.json").read_text())
    paths = [shared / "languages" / name for name in said]
    errors = Errors()
    for name, heard, exact, english in zip(
        said, transcribe("base", paths, "--beam-size", "1"), transcribe("base", paths, *REFERENCE), transcribe("base", paths, "--task", "translate")
    ):
        language = name.partition(".")[0]
        assert heard["language"] == exact["language"] == language
        assert heard["text"], name
        assert english["text"] and english["text"] != heard["text"], name
        if language != "ja":  # written without spaces
            errors.add(exact["text"], heard["text"])
    print("base, int8 beside f32, other languages:", errors)
    assert errors.share <= 0.2, errors
