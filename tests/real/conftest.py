"""What the tests of this folder share: the program, real weights, recordings of people."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import recordings

MODELS = ("tiny.en", "base")
# As the reference computes: f32, the whole window, no detector, a single attempt.
REFERENCE = ("--precision", "f32", "--window", "exact", "--speech-threshold", "0", "--beam-size", "1", "--temperature-fallback", "false")


@pytest.fixture(scope="session")
def weights():
    """The folder of each model, as faster-whisper has it on disk."""
    root = Path(os.environ["STT_REAL_WEIGHTS"])
    return {model: root / model for model in MODELS}


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """WAV files of the recordings, by name."""
    return recordings.write(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="session")
def golden():
    """What the reference programs hear."""
    folder = Path(__file__).parent / "golden"
    return {model: json.loads((folder / f"{model}.json").read_text()) for model in MODELS}


@pytest.fixture(scope="session")
def shared():
    """Recordings that lie beside this checkout, where they do."""
    folder = Path(__file__).parents[3] / "shared" / "real-speech"
    if not folder.is_dir():
        pytest.skip("no folder shared/real-speech lies beside this checkout")
    return folder


@pytest.fixture(scope="session")
def transcribe(weights):
    """transcribe(model, paths, flag…): the objects that `wyoming-stt transcribe --format json` prints, in order."""

    def run(model, paths, *flags):
        command = [os.environ["binary"], "transcribe", "--format", "json", "--model", weights.get(model, model), *flags, *paths]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1_200)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run
