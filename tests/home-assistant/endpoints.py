#!/usr/bin/env python3
"""Compares where a voice command ends: by Home Assistant's own detector, and by the server's (--endpointing).

endpoints.py [--after SECONDS,…] [--at-once N] [--model FOLDER] FILE…       16 kHz recordings of one command each

Every recording is sent in real time, followed by the quietest of it, as a satellite goes on to send. The table has, for
each way: of how many commands the transcript lacks the last word that all of the audio has; and the seconds from the end
of the last word, by the server's word times, to the transcript. The program is named by the variable `binary`.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from homeassistant.components.assist_pipeline.vad import VadSensitivity, VoiceCommandSegmenter
from pymicro_vad import MicroVad
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event

sys.path.append(str(Path(__file__).parents[1] / "real"))
import sounds  # noqa: E402
from process import free_port  # noqa: E402
from server import Server  # noqa: E402

RATE = sounds.RATE
CHUNK = RATE * 32 // 1_000
"""What Home Assistant sends at once."""
ROOM = 3 * RATE // 10
AFTER_S = 4


@dataclass
class Command:
    pcm: bytes
    """With the room behind it."""
    text: str
    end_s: float
    """Of the last word."""


def with_room(samples):
    """Continued by the quietest 0.3 s of it, there and back."""
    starts = range(0, max(1, len(samples) - ROOM), ROOM // 3)
    quietest = min((samples[start : start + ROOM] for start in starts), key=lambda part: np.mean(part**2))
    there_and_back = np.concatenate([quietest[::-1], quietest])
    room = np.tile(there_and_back, AFTER_S * RATE // len(there_and_back) + 1)
    return np.concatenate([samples, room[: AFTER_S * RATE]])


def as_pcm(samples):
    return (np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()


def words(http, path):
    """The words of a recording with their times, from the HTTP API."""
    boundary = uuid.uuid4().hex
    fields = {"model": "whisper-1", "language": "en", "response_format": "verbose_json", "timestamp_granularities[]": "word"}
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
    body = "".join(parts).encode() + file.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(f"http://{http}/v1/audio/transcriptions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["words"]


def command(http, path):
    found = words(http, path)
    text = " ".join(word["word"] for word in found)
    return Command(as_pcm(with_room(sounds.read(str(path)))), text, found[-1]["end"]) if found else None


def ended_by_home_assistant(pcm, sensitivity):
    """After how many bytes its segmenter ends the command."""
    vad = MicroVad()
    segmenter = VoiceCommandSegmenter(silence_seconds=VadSensitivity.to_seconds(sensitivity))
    step = 2 * RATE // 100
    for start in range(0, len(pcm) - step, step):
        if not segmenter.process(0.01, vad.Process10ms(pcm[start : start + step])):
            return start + step
    return len(pcm)


async def say(port, pcm, ends):
    """Sends in real time until the transcript is there; with `ends`, says itself where the audio ends. The transcript, and
    when it came: seconds after the first chunk."""
    heard = {"rate": RATE, "width": 2, "channels": 1}
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Event("transcribe", {"language": "en"}))
        await client.write_event(AudioStart(**heard).event())
        began = time.monotonic()
        answer = asyncio.ensure_future(client.read_event())
        for start in range(0, len(pcm), 2 * CHUNK):
            due = began + (start + 2 * CHUNK) / (2 * RATE)
            await asyncio.wait([answer], timeout=max(0, due - time.monotonic()))
            if answer.done():
                break
            await client.write_event(AudioChunk(audio=pcm[start : start + 2 * CHUNK], **heard).event())
        if ends:
            await client.write_event(AudioStop().event())
        event = await asyncio.wait_for(answer, 30)
        assert event and Transcript.is_type(event.type), event
        return Transcript.from_event(event).text, time.monotonic() - began


def last_word(text):
    cleaned = "".join(letter for letter in text.lower() if letter.isalnum() or letter == " ")
    return (cleaned.split() or [""])[-1]


async def row(label, port, commands, at_once, audio, ends):
    limit = asyncio.Semaphore(at_once)

    async def one(each, pcm):
        async with limit:
            text, took_s = await say(port, pcm, ends)
            return last_word(each.text) in text.lower(), took_s - each.end_s

    answers = await asyncio.gather(*map(one, commands, audio))
    took = sorted(took_s for whole, took_s in answers if whole)
    cut = sum(not whole for whole, _ in answers)
    print(f"| {label} | {cut} of {len(answers)} | {statistics.median(took):.2f} | {took[len(took) * 9 // 10]:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--after", default="0.4,0.6,0.8")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--model", default=os.path.join(os.environ.get("STT_REAL_WEIGHTS", ""), "tiny.en"))
    parser.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:

        def serve(after):
            http = f"127.0.0.1:{free_port()}"
            flags = ("--model", given.model, "--http", http, "--endpointing", after)
            return http, Server(Path(folder) / after, *flags)

        http, server = serve("0")
        commands = [found for path in given.files if (found := command(http, path))]
        print("| the command ends | another last word | median s | 9 of 10 within s |\n|---|---|---|---|", flush=True)
        for sensitivity in VadSensitivity:
            label = f"Home Assistant, {sensitivity} ({VadSensitivity.to_seconds(sensitivity)} s)"
            audio = [each.pcm[: ended_by_home_assistant(each.pcm, sensitivity)] for each in commands]
            asyncio.run(row(label, server.port, commands, given.at_once, audio, ends=True))
        server.stop()
        for after in given.after.split(","):
            _, server = serve(after)
            audio = [each.pcm for each in commands]
            asyncio.run(row(f"--endpointing {after}", server.port, commands, given.at_once, audio, ends=False))
            server.stop()


if __name__ == "__main__":
    main()
