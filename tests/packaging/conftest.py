"""What these tests share: files of the project as values, and programs that only write down how they were called."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def read(path: str) -> str:
    """The text of a file of the project."""
    return (ROOT / path).read_text(encoding="utf-8")


def load(path: str) -> Any:
    """The value of a YAML file of the project."""
    return yaml.safe_load(read(path))


@pytest.fixture(scope="session")
def version() -> str:
    """Of the workspace."""
    found = re.search(r'^\[workspace\.package\]\nversion = "(.*)"$', read("Cargo.toml"), re.MULTILINE)
    assert found
    return found[1]


Program = Callable[[str, str], None]


@pytest.fixture
def called(tmp_path: Path) -> tuple[Program, Callable[..., subprocess.CompletedProcess[str]]]:
    """install(name, body): a program of that name, in shell; run(command, **variables): a command that finds it first."""
    programs = tmp_path / "bin"
    programs.mkdir()

    def install(name: str, body: str) -> None:
        path = programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **variables}
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env, check=False, timeout=60)

    return install, run
