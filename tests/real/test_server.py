"""The server, asked by the PyPI client that Home Assistant uses."""

import asyncio
import json
import os
import subprocess
import wave

import pytest
import recordings
from words import Errors
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info

CHUNK_BYTES = 2_048


@pytest.fixture(scope="module", params=["tiny.en", "base"])
def server(request, weights):
    """A server with the model as faster-whisper has it on disk; its port."""
    command = [os.environ["binary"], "serve", "--uri", "tcp://127.0.0.1:0", "--admin", "off", "--model", weights[request.param], "--keep-packed", "false"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next((line for line in process.stdout if line.startswith("ready: ")), None)
            assert line, "the server ended before it was ready"
            yield request.param, int(line.split("tcp://127.0.0.1:")[1].split(",")[0])
        finally:
            process.terminate()


def ask(port, *events, until):
    """Sends events and gives the first answer of a kind."""

    async def talk():
        async with AsyncTcpClient("127.0.0.1", port) as client:
            for event in events:
                await client.write_event(event)
            while (event := await asyncio.wait_for(client.read_event(), 120)) is not None:
                assert event.type != "error", event.data
                if until.is_type(event.type):
                    return until.from_event(event)
            raise AssertionError("the server closed the connection without an answer")

    return asyncio.run(talk())


def speak(port, content, language=None):
    shape = (recordings.RATE, 2, 1)
    pieces = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]
    chunks = [AudioChunk(*shape, piece).event() for piece in pieces]
    return ask(port, Transcribe(language=language).event(), AudioStart(*shape).event(), *chunks, AudioStop().event(), until=Transcript)


def test_describe_has_the_languages_of_the_model(server):
    model, port = server
    (program,) = ask(port, Describe().event(), until=Info).asr
    languages = program.models[0].languages
    assert languages == ["en"] if model == "tiny.en" else {"en", "de", "ja"} < set(languages)


def test_people_are_understood_through_the_port(server):
    _, port = server
    errors = Errors()
    for name in recordings.LIBRIVOX_NAMES:
        errors.add(recordings.words(name), speak(port, recordings.samples(name), "en").text)
    assert errors.share <= 0.06, errors


def test_silence_is_no_words(server):
    _, port = server
    for seconds in (0.5, 3, 20):
        assert speak(port, recordings.silence(seconds)).text == ""
