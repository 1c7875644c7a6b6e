"""The program that is tested."""

import json
import os
import re
import urllib.request
from pathlib import Path

from process import Program, free_port, wait_for


class Server:
    """One `wyoming-stt serve` on ports that stay the same."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        self.admin = free_port()
        self.arguments = arguments
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        command = [
            os.environ["binary"],
            "serve",
            "--uri",
            f"tcp://127.0.0.1:{self.port}",
            "--admin",
            f"127.0.0.1:{self.admin}",
            *self.arguments,
        ]
        self.program = Program(command, self.folder / f"{self.starts}.log")
        wait_for("the server is ready", 120, self._is_ready)

    def _is_ready(self) -> bool:
        assert self.program.is_running(), self.log()
        return "\nready: " in self.log()

    def log(self) -> str:
        """Without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.program.log())

    def stop(self) -> None:
        self.program.stop()

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
            return answer.read().decode()

    def names(self, origin: str = "home_assistant") -> int:
        """How many names the admin page tells; the metric must agree."""
        told = json.loads(self.page("/info"))["names"]["from"].get(origin, 0)
        found = re.search(rf'^stt_names\{{source="{origin}"\}} (\d+)$', self.page("/metrics"), re.M)
        assert found, "no stt_names"
        # Between the two pages the number may change; the next look sees it.
        return told if told == int(found[1]) else -1

    def wait_for_names(self, number: int, seconds: float = 30) -> None:
        counted = []

        def look() -> bool:
            counted.append(self.names())
            return counted[-1] == number

        try:
            wait_for("names", seconds, look)
        except AssertionError:
            raise AssertionError(f"{number} names expected, {counted[-1]} are there: {self.log()[-3000:]}") from None

    def wait_for_line(self, text: str, seconds: float = 30) -> str:
        """The newest line of the log with this text."""
        lines: list[str] = []

        def look() -> bool:
            lines[:] = [line for line in self.log().splitlines() if text in line]
            return bool(lines)

        wait_for(f"{text!r} in the log: {self.log()[-3000:]}", seconds, look)
        return lines[-1]
