"""A server that tells words while speech goes on, as the PyPI `wyoming` library sees it: one that knows the events, and one
that reads the transcript only.

usage: streaming.py HOST:PORT FIXTURES_DIR
"""

import asyncio
import sys
import wave
from pathlib import Path

from wyoming import asr
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe

HOST, PORT = sys.argv[1].rsplit(":", 1)
SPOKEN = Path(sys.argv[2]) / "close_windows.wav"
PATIENCE = 60
PAUSE_S = 0.8


async def read(client):
    event = await asyncio.wait_for(client.read_event(), PATIENCE)
    assert event is not None and event.type != "error", event and event.data
    return event


async def speak(client):
    """The recording at once, then a pause that lasts as long as it is."""
    with wave.open(str(SPOKEN)) as sound:
        form = (sound.getframerate(), sound.getsampwidth(), sound.getnchannels())
        pcm = sound.readframes(sound.getnframes())
    await client.write_event(AudioStart(*form).event())
    await client.write_event(AudioChunk(*form, pcm).event())
    part = bytes(form[0] // 20 * form[1] * form[2])
    for _ in range(round(PAUSE_S / 0.05)):
        await client.write_event(AudioChunk(*form, part).event())
        await asyncio.sleep(0.05)


async def main():
    said = SPOKEN.with_suffix(".txt").read_text().strip()
    knows_events = hasattr(asr, "TranscriptChunk")
    async with AsyncTcpClient(HOST, int(PORT)) as client:
        await client.write_event(Describe().event())
        info = await read(client)
        assert info.data["asr"][0]["supports_transcript_streaming"] is True
        await speak(client)
        if not knows_events:
            await client.write_event(AudioStop().event())
            while not asr.Transcript.is_type((event := await read(client)).type):
                pass
            assert asr.Transcript.from_event(event).text == said
            return
        start = await read(client)
        assert asr.TranscriptStart.is_type(start.type), start.type
        assert asr.TranscriptStart.from_event(start).language == "en"
        text = asr.TranscriptChunk.from_event(await read(client)).text
        assert text and said.startswith(text), text
        await client.write_event(AudioStop().event())
        while asr.TranscriptChunk.is_type((event := await read(client)).type):
            text += asr.TranscriptChunk.from_event(event).text
        assert asr.Transcript.from_event(event).text == text == said, (text, event.data)
        assert asr.TranscriptStop.is_type((await read(client)).type)


asyncio.run(main())
