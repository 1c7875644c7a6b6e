"""Figures that a run measured, kept in a file for each test and put together at the end."""

import json
import sys
from pathlib import Path
from typing import Any


def write(folder: Path, title: str, figures: dict[str, Any]) -> None:
    """Keeps the figures of one test."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    (folder / f"{name}.json").write_text(json.dumps({"title": title, **figures}, indent=2) + "\n")


def table(folder: Path) -> str:
    """All figures of a folder as a table for people."""
    rows = ["| what | figure | value |", "|---|---|---|"]
    for file in sorted(folder.glob("*.json")):
        figures = json.loads(file.read_text())
        title = figures.pop("title")
        rows += [f"| {title} | {name} | {value} |" for name, value in figures.items()]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    found = Path(sys.argv[1])
    (found / "figures.md").write_text(table(found))
    print(table(found), end="")
