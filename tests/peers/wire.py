"""Servers through their Wyoming port: start, latency, memory."""

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import sound
from catalogue import Contender
from child import Child, ChildError, environment
from figures import Row, Sample
from rounds import Case, Setting, due
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info

FORMAT = (sound.RATE_HZ, 2, 1)
CHUNK = 2048
PATIENCE_S = 120.0
# Between the last of the audio and its end: what a server can do while somebody speaks is done by then.
SETTLED_S = 0.3
RETRY_S = 0.005
# Awake without work before memory is read: some servers give back what they do not need.
AT_REST_S = 3.0
FAULTS = (ChildError, OSError, TimeoutError)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Heard:
    """Utterances that were transcribed at once."""

    # From the end of all audio to the last words, in milliseconds.
    took_ms: float
    texts: tuple[str, ...]


class Server(Child):
    """A server that has just been started."""

    def __init__(self, contender: Contender, folder: Path, threads: int, log: Path) -> None:
        self.contender = contender
        self.port = free_port()
        self.born = time.perf_counter()
        command = contender.line(model=folder, threads=threads, port=self.port)
        super().__init__(command, environment(contender.env, threads), log)

    def age_ms(self) -> float:
        """Since it was started."""
        return (time.perf_counter() - self.born) * 1e3

    async def described(self) -> None:
        """Waits until it answers."""
        while self.age_ms() < PATIENCE_S * 1e3:
            if self.process.poll() is not None:
                raise self.fault("ended")
            try:
                async with AsyncTcpClient("127.0.0.1", self.port) as client:
                    await client.write_event(Describe().event())
                    event = await client.read_event()
                    if event is not None and Info.is_type(event.type):
                        return
            except OSError:
                pass
            await asyncio.sleep(RETRY_S)
        raise self.fault("does not answer")

    async def hear(self, pcm: Sequence[bytes], settled_s: float = SETTLED_S) -> Heard:
        """All of them at once."""
        together = asyncio.Barrier(len(pcm))
        spoken = [self.utter(one, together, settled_s) for one in pcm]
        answers = await asyncio.wait_for(asyncio.gather(*spoken), PATIENCE_S)
        took = max(done for _, done, _ in answers) - min(ended for ended, _, _ in answers)
        return Heard(took * 1e3, tuple(text for _, _, text in answers))

    async def utter(self, pcm: bytes, together: asyncio.Barrier, settled_s: float) -> tuple[float, float, str]:
        """When the audio ended, when the words were there, and the words."""
        async with AsyncTcpClient("127.0.0.1", self.port) as client:
            await client.write_event(Transcribe(language="en").event())
            await client.write_event(AudioStart(*FORMAT).event())
            for start in range(0, len(pcm), CHUNK):
                await client.write_event(AudioChunk(*FORMAT, pcm[start : start + CHUNK]).event())
            await asyncio.sleep(settled_s)
            await together.wait()
            ended = time.perf_counter()
            await client.write_event(AudioStop().event())
            while (event := await client.read_event()) is not None:
                if Transcript.is_type(event.type):
                    return ended, time.perf_counter(), Transcript.from_event(event).text
                if event.type == "error":
                    raise self.fault(f"refuses: {event.data}")
            raise self.fault("closes without an answer")


@dataclass(frozen=True)
class WireRace:
    """All servers with one model."""

    setting: Setting
    contenders: Sequence[Contender]
    cases: Sequence[Case]

    def run(self, rounds: int) -> Iterator[Sample]:
        """Starts each anew in every round, then measures all of them in turn."""
        contenders = list(self.contenders)
        for number in range(rounds):
            self.setting.say(f"wire, {self.setting.model}: start {number + 1} of {rounds}")
            for contender in list(contenders):
                try:
                    yield from self.start(contender)
                except FAULTS as error:
                    contenders.remove(contender)
                    self.setting.leave_out(contender, "wire", error)
        with ExitStack() as stack:
            running = [self.ready(stack, contender) for contender in contenders]
            servers = [server for server in running if server is not None]
            for number in range(rounds):
                self.setting.say(f"wire, {self.setting.model}: round {number + 1} of {rounds}")
                for case in self.setting.told(due(self.cases, number)):
                    shift = number % max(1, len(servers))
                    for server in servers[shift:] + servers[:shift]:
                        yield from self.measure(servers, server, case)
            for server in servers:
                with server.awake():
                    time.sleep(AT_REST_S)
                memory = server.memory_mb()
                yield Sample(self.row(server.contender), "resident MB", memory["VmRSS"])
                yield Sample(self.row(server.contender), "peak MB", memory["VmHWM"])

    def ready(self, stack: ExitStack, contender: Contender) -> Server | None:
        """Started, and warm."""
        try:
            server = stack.enter_context(self.server(contender))
            asyncio.run(server.described())
            self.hear(server, [self.setting.warm_up])
            server.rest()
            return server
        except FAULTS as error:
            self.setting.leave_out(contender, "wire", error)
            return None

    def measure(self, servers: list[Server], server: Server, case: Case) -> Iterator[Sample]:
        """One figure."""
        try:
            with server.awake():
                heard = self.hear(server, case.audio)
        except FAULTS as error:
            self.setting.leave_out(server.contender, "wire", error)
            servers.remove(server)
            return
        text = "" if self.setting.script is not None else " ".join(heard.texts)
        yield Sample(self.row(server.contender), case.name, heard.took_ms, text=text)

    def hear(self, server: Server, audio: Sequence[Path], settled_s: float = SETTLED_S) -> Heard:
        """The answers, if each is what it must be."""
        heard = asyncio.run(server.hear([sound.read(path) for path in audio], settled_s))
        for text in heard.texts:
            self.setting.check(server, text)
        return heard

    def start(self, contender: Contender) -> Iterator[Sample]:
        """From nothing to words."""
        with self.server(contender) as server:
            asyncio.run(server.described())
            yield Sample(self.row(contender), "start to describe", server.age_ms())
            self.hear(server, [self.setting.warm_up], settled_s=0.0)
            yield Sample(self.row(contender), "start to words", server.age_ms())

    def server(self, contender: Contender) -> Server:
        """Started."""
        setting = self.setting
        return Server(contender, setting.folder, setting.threads, setting.log(contender, "wire"))

    def row(self, contender: Contender) -> Row:
        """Of the table."""
        return Row("wire", self.setting.model, contender.key, contender.family, contender.label, contender.windows[0])
