"""Clients that speak as Home Assistant does: one connection for each utterance, and the words are waited for."""

import asyncio
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioStart, AudioStop, wav_to_chunks
from wyoming.client import AsyncTcpClient
from wyoming.error import Error

from kit.cluster import ROOT
from node.timeline import now

# Longer than any utterance may wait in a queue; what has no answer by then is lost.
PATIENCE = 60.0


@dataclass(frozen=True)
class Clip:
    """A spoken WAV and its words."""

    path: Path
    words: str

    @classmethod
    def named(cls, name: str) -> "Clip":
        """One of the fixtures."""
        path = ROOT / "tests/fixtures/audio" / f"{name}.wav"
        return cls(path, path.with_suffix(".txt").read_text().strip())


OFFICE = Clip.named("office_lights")
CLIPS = [OFFICE, Clip.named("close_windows"), Clip.named("volume"), Clip.named("green_lamp")]


class Lost(Exception):
    """An utterance without its words."""


async def converse(host: str, port: int, clip: Clip) -> str:
    """The words that a server hears in a clip."""
    async with AsyncTcpClient(host, port) as client:
        await client.write_event(Transcribe().event())
        with wave.open(str(clip.path)) as sound:
            chunks = list(wav_to_chunks(sound, samples_per_chunk=1024))
        first = chunks[0]
        await client.write_event(AudioStart(first.rate, first.width, first.channels).event())
        for chunk in chunks:
            await client.write_event(chunk.event())
        await client.write_event(AudioStop().event())
        while (event := await client.read_event()) is not None:
            if Transcript.is_type(event.type):
                return Transcript.from_event(event).text
            if Error.is_type(event.type):
                raise Lost(f"the server said {event.data}")
        raise Lost("the server closed the connection without an answer")


def say(host: str, port: int, clip: Clip) -> str:
    """One utterance, from beginning to end."""
    return asyncio.run(asyncio.wait_for(converse(host, port, clip), PATIENCE))


@dataclass
class Crowd:
    """Clients that speak one utterance after the other, until they are told to stop."""

    host: str
    port: int
    # Seconds that a client is silent after an answer.
    pause: float = 0.0
    answered: int = 0
    slowest: float = 0.0
    lost: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    async def _one(self, clip: Clip) -> None:
        begun = time.monotonic()
        try:
            words = await asyncio.wait_for(converse(self.host, self.port, clip), PATIENCE)
            if words != clip.words:
                raise Lost(f"heard {words!r} instead of {clip.words!r}")
        except (Lost, OSError, TimeoutError) as problem:
            self.lost.append(f"{now()} after {time.monotonic() - begun:.2f} s: {type(problem).__name__} {problem}")
            # A server that refuses at once would be asked in a tight loop.
            await asyncio.sleep(0.5)
        else:
            self.answered += 1
            self.slowest = max(self.slowest, time.monotonic() - begun)

    async def _client(self, number: int) -> None:
        turn = number
        while not self._stop.is_set():
            await self._one(CLIPS[turn % len(CLIPS)])
            turn += 1
            await asyncio.sleep(self.pause)

    async def _all(self, clients: int) -> None:
        await asyncio.gather(*(self._client(number) for number in range(clients)))

    @contextmanager
    def speaking(self, clients: int) -> Iterator["Crowd"]:
        """While inside, they speak; what was begun is finished at the end."""
        thread = threading.Thread(target=lambda: asyncio.run(self._all(clients)), name="crowd")
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(PATIENCE + 10)
            assert not thread.is_alive(), "clients are still waiting for their words"
