"""The figures of one or several models, for programs and for people."""

import json
from pathlib import Path

from recipe.evaluation import Figures


def write_figures(models: dict[str, Figures], path: Path) -> None:
    """Writes `path.json`, and `path.md` with a column for every model."""
    path.with_suffix(".json").write_text(json.dumps(models, indent=1) + "\n")
    path.with_suffix(".md").write_text(_table(models))


def distinct_names(folders: list[Path]) -> dict[str, Path]:
    """The last part of each path, or as many as it takes to tell it from the others."""
    resolved = [folder.resolve() for folder in dict.fromkeys(folders)]
    longest = max(len(folder.parts) for folder in resolved)
    for length in range(1, longest + 1):
        names = {"/".join(folder.parts[-length:]): folder for folder in resolved}
        if len(names) == len(set(resolved)):
            return names
    raise AssertionError("different paths differ in some part")


def _table(models: dict[str, Figures]) -> str:
    lines = ["| |" + "".join(f" {model} |" for model in models), "|---|" + "---|" * len(models)]
    for name in next(iter(models.values())):
        cells = "".join(f" {_shown(name, figures[name])} |" for figures in models.values())
        lines.append(f"| {name.removesuffix('_s')} |{cells}")
    return "\n".join(lines) + "\n"


def _shown(name: str, value: float) -> str:
    if name.endswith("_s"):
        return f"{value:.2f} s"
    return f"{value:.1f} %"
