"""The figures of one or several models, for programs and for people."""

import json
from pathlib import Path

from recipe.evaluation import Figures


def write_figures(models: dict[str, Figures], path: Path) -> None:
    """Writes `path.json`, and `path.md` with a column for every model."""
    path.with_suffix(".json").write_text(json.dumps(models, indent=1) + "\n")
    path.with_suffix(".md").write_text(_table(models))


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
