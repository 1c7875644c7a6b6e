"""Progress lines: on the terminal for the person, in a file for later."""

import time
from pathlib import Path


class Progress:
    """Says each line with the minutes since the start, to both places."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        self._start = time.monotonic()

    def say(self, message: str, **fields: object) -> None:
        minutes = (time.monotonic() - self._start) / 60
        line = f"{minutes:7.1f} min  {message}"
        line += "".join(f", {name} {_shown(value)}" for name, value in fields.items())
        print(line, flush=True)
        with self._file.open("a") as file:
            file.write(line + "\n")


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
