"""In f32 the program hears what the reference programs hear, on the same weights."""

import pytest
import recordings
from conftest import MODELS, REFERENCE


@pytest.mark.parametrize("model", MODELS)
def test_each_recording_gives_the_words_of_transformers(model, transcribe, sounds, golden):
    expected = golden[model]["words"]
    found = transcribe(model, [sounds[name] for name in expected], *REFERENCE, "--language", "en")
    assert {name: heard["text"] for name, heard in zip(expected, found)} == expected


@pytest.mark.parametrize("model", MODELS)
def test_long_audio_gives_the_segments_of_openai_whisper(model, transcribe, sounds, golden):
    found = transcribe(model, [sounds[name] for name in recordings.LONG], *REFERENCE, "--language", "en")
    for name, heard in zip(recordings.LONG, found):
        expected = golden[model]["long"][name]
        assert [segment["text"].strip() for segment in heard["segments"]] == [segment["text"].strip() for segment in expected], name
        for ours, theirs in zip(heard["segments"], expected):
            for key, tolerance in {"start": 0.011, "end": 0.011, "avg_logprob": 0.01, "no_speech_prob": 0.01}.items():
                assert ours[key] == pytest.approx(theirs[key], abs=tolerance), (name, theirs["text"], key)


def test_the_language_of_each_recording_is_detected_as_in_the_reference(transcribe, sounds, golden):
    expected = golden["base"]["languages"]
    found = transcribe("base", [sounds[name] for name in expected], *REFERENCE)
    for (name, theirs), ours in zip(expected.items(), found):
        assert ours["language"] == theirs["language"], name
        assert ours["language_probability"] == pytest.approx(theirs["probability"], abs=0.01), name
