"""OpenAI's client and curl against a server with the model that is built in."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import openai
import pytest

KEY = "sk-of-these-tests"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "audio"
SOUND = FIXTURES / "office_lights.wav"
WORDS = SOUND.with_suffix(".txt").read_text().strip()


@contextlib.contextmanager
def served(*flags):
    """A server with these flags; where it serves the API."""
    command = [os.environ["binary"], "serve", "--uri", "tcp://127.0.0.1:0", "--admin", "off", "--http", "127.0.0.1:0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next((line for line in process.stdout if line.startswith("ready: ")), None)
            assert line, "the server ended before it was ready"
            yield line.split("http http://")[1].split(",")[0]
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"# of the tests\n{KEY}\n")
    return keys


@pytest.fixture(scope="session")
def address(keys):
    """Where a server with a key serves the API."""
    with served("--http-keys", keys) as found:
        yield found


@pytest.fixture(scope="session")
def client(address):
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key=KEY, max_retries=0)


def test_a_file_is_transcribed_by_path_by_bytes_and_by_name(client):
    for file in (SOUND, SOUND.read_bytes(), ("sound.wav", SOUND.read_bytes())):
        assert client.audio.transcriptions.create(model="whisper-1", file=file).text == WORDS


def test_each_format_has_the_type_that_the_client_expects(client):
    ask = client.audio.transcriptions.create
    assert ask(model="whisper-1", file=SOUND, response_format="text").strip() == WORDS
    assert "00:00:00,000 --> " in ask(model="whisper-1", file=SOUND, response_format="srt")
    assert ask(model="whisper-1", file=SOUND, response_format="vtt").startswith("WEBVTT\n")
    verbose = ask(model="whisper-1", file=SOUND, response_format="verbose_json", timestamp_granularities=["word", "segment"], temperature=0.0, language="en", prompt="Office.")
    assert verbose.language == "english" and verbose.duration > 1
    assert [word.word for word in verbose.words] == verbose.text.split()
    assert "".join(segment.text for segment in verbose.segments).strip() == verbose.text
    assert verbose.segments[0].avg_logprob < 0
    translated = client.audio.translations.create(model="whisper-1", file=SOUND)
    assert translated.text


def test_words_come_as_events(client):
    events = list(client.audio.transcriptions.create(model="whisper-1", file=SOUND, stream=True))
    kinds = [event.type for event in events]
    assert kinds[-1] == "transcript.text.done" and set(kinds[:-1]) == {"transcript.text.delta"}
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == WORDS
    # Fields of our own are beside OpenAI's.
    assert events[-1].language == "en" and events[-1].timings["encode"] > 0
    answer = client.audio.transcriptions.with_raw_response.create(model="whisper-1", file=SOUND)
    assert "encode;dur=" in answer.headers["server-timing"]


def test_models_are_listed(client):
    names = [model.id for model in client.models.list()]
    assert names == ["demo", "whisper-1"]
    assert client.models.retrieve("demo").object == "model"


def test_errors_are_the_exceptions_of_the_client(address, client):
    with pytest.raises(openai.NotFoundError, match="only .*demo"):
        client.audio.transcriptions.create(model="gpt-4o-transcribe", file=SOUND)
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(model="whisper-1", file=SOUND, language="klingon")
    assert refused.value.param == "language"
    with pytest.raises(openai.APIStatusError) as refused:
        client.audio.transcriptions.create(model="whisper-1", file=b"no sound")
    assert refused.value.status_code == 415
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"http://{address}/v1", api_key="sk-other-key").models.list()


def test_the_client_for_node_gets_the_same(address, tmp_path):
    if "node_packages" not in os.environ:
        pytest.skip("Node is not installed")
    # Node looks for packages beside the script.
    for name, origin in (("node_modules", Path(os.environ["node_packages"]) / "node_modules"), ("client.mjs", Path(__file__).parent / "node" / "client.mjs")):
        (tmp_path / name).symlink_to(origin)
    command = ["node", "--preserve-symlinks-main", tmp_path / "client.mjs", f"http://{address}/v1", KEY, SOUND, WORDS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_description_is_true_and_no_request_that_it_allows_fails(keys, tmp_path):
    # A file by the description is any file, and most are no audio: a refusal of valid data is right.
    program = Path(sys.executable).with_name("schemathesis")
    with served("--http-keys", keys) as found:
        command = [program, "run", f"http://{found}/openapi.json", "--header", f"Authorization: Bearer {KEY}", "--exclude-checks", "positive_data_acceptance", "--max-examples", "20", "--seed", "1", "--no-color"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4_000:]


def curl(*arguments):
    done = subprocess.run(["curl", "--silent", "--show-error", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_gets_the_words(address):
    key = ("-H", f"Authorization: Bearer {KEY}")
    url = f"http://{address}/v1/audio/transcriptions"
    assert json.loads(curl(*key, "-F", f"file=@{SOUND}", url))["text"] == WORDS
    events = curl("--no-buffer", *key, "-F", f"file=@{SOUND}", "-F", "stream=true", url)
    assert [json.loads(line.removeprefix("data: "))["type"] for line in events.splitlines() if line.startswith("data: ")][-1] == "transcript.text.done"
    status = curl("-o", os.devnull, "-w", "%{http_code}", *key, "-F", f"file=@{SOUND}", "-H", "Transfer-Encoding: chunked", url)
    assert status == "200"
