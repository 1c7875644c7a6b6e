"""The state of a training on disk, so that it can be stopped and can go on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recipe.model import Shape


class OtherTraining(Exception):
    """The checkpoint is of a training that began with other weights."""


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Replaces the checkpoint in one step: half of one is never there."""
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(path)


def read(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def minutes_trained(path: Path) -> float:
    return read(path)["seconds"] / 60 if path.exists() else 0.0


def averaged_model(path: Path) -> tuple[Shape, dict[str, torch.Tensor]]:
    """What is shipped: the average of the weights, without the phoneme head."""
    stored = read(path)
    # Beside the weights there is only their number.
    weights = {
        name.removeprefix("module."): value for name, value in stored["average"].items() if name.startswith("module.")
    }
    return Shape(**stored["shape"]), weights


def check_beginning(path: Path, beginning: str) -> None:
    """beginning: what a checkpoint of this training would say about where it began."""
    if not path.exists():
        return
    stored = read(path)["beginning"]
    if stored != beginning:
        raise OtherTraining(
            f"{path} is of a training that began with other weights ({stored:.12}, here {beginning:.12}): "
            "delete it, or choose another folder with --work"
        )
