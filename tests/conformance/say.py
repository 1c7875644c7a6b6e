"""Sends a WAV to a Wyoming server and prints the words. usage: say.py HOST:PORT WAV"""

import asyncio
import sys
import wave

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioStart, AudioStop, wav_to_chunks
from wyoming.client import AsyncTcpClient


async def main(address, path):
    host, port = address.rsplit(":", 1)
    async with AsyncTcpClient(host, int(port)) as client:
        await client.write_event(Transcribe().event())
        with wave.open(path) as sound:
            chunks = list(wav_to_chunks(sound, samples_per_chunk=1024))
        await client.write_event(AudioStart(chunks[0].rate, chunks[0].width, chunks[0].channels).event())
        for chunk in chunks:
            await client.write_event(chunk.event())
        await client.write_event(AudioStop().event())
        while (event := await client.read_event()) is not None:
            if Transcript.is_type(event.type):
                print(Transcript.from_event(event).text)
                return
            if event.type == "error":
                sys.exit(f"the server said: {event.data}")
        sys.exit("the server closed the connection without an answer")


asyncio.run(main(*sys.argv[1:]))
