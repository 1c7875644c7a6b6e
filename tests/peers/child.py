"""Processes that are measured in turn: each sleeps while another one works."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

# Loading a large model and its first utterance on a slow machine.
PATIENCE_S = 300.0

# Set on some machines for old numpy builds; they slow the peers' current ones.
NOT_PASSED_ON = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class ChildError(Exception):
    """A process that ended, hung or said what it should not."""


def environment(more: Mapping[str, str], threads: int) -> dict[str, str]:
    """Of a child: nothing is fetched, and no library takes more threads than it was given."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    fixed = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {**kept, **fixed, **counts, **more}


class Child:
    """A process whose standard error goes to a file."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                command, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()

    def rest(self) -> None:
        """Takes the processor away: some libraries spin for a while after their work."""
        self.process.send_signal(signal.SIGSTOP)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Lets it run meanwhile."""
        self.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.rest()

    def fault(self, what: str) -> ChildError:
        """With what it said last."""
        said = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        return ChildError(f"{what}: {' | '.join(said)}" if said else what)

    def memory_mb(self) -> dict[str, float]:
        """Resident now and at most, of the process itself."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


class Engine(Child):
    """A child that answers lines of JSON."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        super().__init__(command, env, log)
        try:
            self.loaded = self.read()
        except ChildError:
            self.stop()
            raise
        self.rest()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One line and its answer."""
        assert self.process.stdin is not None
        with self.awake():
            try:
                self.process.stdin.write(json.dumps(request) + "\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                raise self.fault("ended") from None
            return self.read()

    def read(self) -> dict[str, Any]:
        """The next line."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        if not ready:
            raise self.fault(f"no answer within {PATIENCE_S:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise self.fault("ended")
        return json.loads(line)
