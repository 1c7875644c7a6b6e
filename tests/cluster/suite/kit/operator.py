"""The operator as a process: started, asked, stopped, killed."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kit.api import Object, Unreachable
from kit.waiting import eventually


@dataclass
class Operator:
    """One process. It reaches the API server with `kubeconfig`, never as the administrator."""

    binary: Path
    kubeconfig: Path
    namespace: str
    identity: str
    log: Path
    watch: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    admin: str = ""

    def start(self) -> "Operator":
        """Starts the process; it need not lead yet."""
        self.admin = f"127.0.0.1:{_free_port()}"
        # It does not outlive this process, however that ends.
        arguments = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            str(self.binary),
            "run",
            "--admin",
            self.admin,
            "--namespace",
            self.namespace,
        ]
        arguments += ["--identity", self.identity, "--server-image", "registry.example/stt:1", *self.arguments]
        if self.watch:
            arguments += ["--watch-namespaces", ",".join(self.watch)]
        # Nothing of this machine's settings may reach it.
        settings = {"PATH": os.environ["PATH"], "KUBECONFIG": str(self.kubeconfig), "OPERATOR_LOG_FORMAT": "json"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(arguments, env=settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def lead(self, within: float = 10) -> "Operator":
        """Waits until it writes."""
        eventually(f"{self.identity} leads", self._assert_leads, within=within, every=0.05)
        return self

    def _assert_leads(self) -> None:
        assert self.is_running(), f"the operator ended: {self.tail()}"
        assert self.messages("leading"), f"it does not say so: {self.tail()}"

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """Starts it again whenever it ends, as a kubelet does: one that cannot renew its lease gives up.

        What was started here ends with the block, because a process ends with the thread that started it.
        """
        done = threading.Event()

        def keep() -> None:
            while not done.wait(0.5):
                if not self.is_running():
                    self.start()

        kubelet = threading.Thread(target=keep, name="kubelet", daemon=True)
        kubelet.start()
        try:
            yield
        finally:
            done.set()
            kubelet.join(5)

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, within: float = 15) -> int:
        """Asks it to stop, and returns its exit status."""
        assert self.process is not None
        if self.is_running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        return self.wait(within)

    def kill(self) -> None:
        """Ends it without a chance to say goodbye."""
        self.signal(signal.SIGKILL)
        self.wait(5)

    def wait(self, within: float) -> int:
        """Its exit status."""
        assert self.process is not None
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
            raise AssertionError(f"the operator did not end within {within} s: {self.tail()}") from None

    def lines(self) -> list[Object]:
        """What it logged: JSON, or text under `message` where it is none."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                found.append({"message": line})
        return found

    def messages(self, text: str) -> list[Object]:
        """Lines that hold `text`."""
        return [line for line in self.lines() if text in json.dumps(line)]

    def tail(self) -> str:
        """The last of what it logged."""
        return self.log.read_text(errors="replace")[-2000:]

    def page(self, path: str) -> str:
        """An admin page. Raises `Unreachable` for any other answer than 200, and for none."""
        try:
            with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=5) as answer:
                return answer.read().decode()
        except OSError as error:
            raise Unreachable(f"{path} of {self.identity}: {error}") from error

    def reconciles(self) -> "Durations":
        """How long its reconciles took so far."""
        return Durations.read(self.page("/metrics"), "stt_operator_reconcile_duration_seconds")

    def scalings(self) -> "Durations":
        """How long it took so far to ask an endpoint's pods for their load and to order replicas."""
        return Durations.read(self.page("/metrics"), "stt_operator_scale_duration_seconds")

    def memory_kib(self) -> dict[str, int]:
        """Resident memory: all of it (`VmRSS`), and the part that no file backs (`RssAnon`)."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return {name: int(size) for name, size in re.findall(r"(VmRSS|RssAnon|VmHWM):\s+(\d+) kB", text)}


@dataclass(frozen=True)
class Durations:
    """A histogram of the metrics page."""

    buckets: tuple[tuple[float, float], ...]
    count: int
    sum_s: float

    @classmethod
    def read(cls, page: str, name: str) -> "Durations":
        """The histogram `name`, over all labels; empty when it is not there yet."""
        bounds: dict[float, float] = {}
        for labels, value in re.findall(rf"^{name}_bucket{{([^}}]*)}} (\S+)", page, re.MULTILINE):
            bound = float(labels.partition('le="')[2].partition('"')[0])
            bounds[bound] = bounds.get(bound, 0) + float(value)
        total = {
            part: sum(float(value) for value in re.findall(rf"^{name}_{part}(?:{{[^}}]*}})? (\S+)", page, re.MULTILINE))
            for part in ("count", "sum")
        }
        return cls(tuple(sorted(bounds.items())), int(total["count"]), total["sum"])

    def since(self, before: "Durations") -> "Durations":
        """What came after `before`."""
        old = dict(before.buckets)
        buckets = tuple((bound, value - old.get(bound, 0)) for bound, value in self.buckets)
        return Durations(buckets, self.count - before.count, self.sum_s - before.sum_s)

    def quantile(self, part: float) -> float:
        """Seconds under which `part` of them took, by a straight line within its bucket."""
        wanted, low, below = part * self.count, 0.0, 0.0
        for bound, value in self.buckets:
            if value >= wanted:
                if bound == float("inf"):
                    return low
                return low + (bound - low) * (wanted - below) / max(value - below, 1e-9)
            low, below = bound, value
        return low


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
