"""The stages in a row; each is skipped when what it makes is there."""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from recipe import checkpoint, export, speech, training
from recipe.checkpoint import OtherTraining
from recipe.evaluation import EVERYTHING, GLANCE, Extent, evaluate
from recipe.figures import distinct_names, write_figures
from recipe.progress import Progress
from recipe.pronounce import Phonemes
from recipe.texts import training_sentences
from recipe.tokenizer import train_tokenizer
from recipe.training import TrainingPlan


@dataclass(frozen=True)
class _Budget:
    """How much of everything."""

    clips: int
    minutes: float
    extent: Extent


_FULL = _Budget(clips=60_000, minutes=95.0, extent=EVERYTHING)
_SMOKE = _Budget(clips=2_000, minutes=0.5, extent=GLANCE)


def main() -> int:
    arguments = _arguments()
    default = _SMOKE if arguments.smoke else _FULL
    budget = _Budget(arguments.clips or default.clips, arguments.minutes or default.minutes, default.extent)
    try:
        _Recipe(arguments.work, budget, arguments.begin_with).run(arguments.evaluate)
    except OtherTraining as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


class _Recipe:
    """Where the stages put what they make."""

    def __init__(self, work: Path, budget: _Budget, begin_with: Path | None) -> None:
        self._budget = budget
        self._begin_with = begin_with
        self._progress = Progress(work / "log.txt")
        self._log = work / "log.txt"
        self._text = work / "text" / "train.txt"
        self._bank = work / "bank" / "train"
        self._held_out = work / "bank" / "held-out"
        self._clips = work / "clips"
        self._tokenizer = work / "tokenizer.json"
        self._phonemes = work / "phonemes.json"
        self._checkpoint = work / "checkpoint.pt"
        self._model = work / "model"
        self._figures = work / "figures"

    def run(self, others: list[Path]) -> None:
        self._write_text()
        self._speak()
        self._prepare_targets()
        self._train()
        self._export()
        self._evaluate([self._model, *others])

    def _write_text(self) -> None:
        if not self._text.exists():
            self._text.parent.mkdir(parents=True, exist_ok=True)
            sentences = training_sentences(self._budget.clips)
            self._text.write_text("".join(f"{words}\n" for words in sentences))
            self._progress.say(f"{len(sentences)} sentences written")

    def _speak(self) -> None:
        speech.speak_held_out(self._held_out, self._progress, self._budget.extent.clips)
        if not self._clips.exists():
            speech.write_clips(self._held_out, self._clips)
        speech.speak_training(self._text.read_text().splitlines(), self._bank, self._progress)

    def _prepare_targets(self) -> None:
        if self._begin_with is not None:
            # What a model has learned, it has learned of these tokens.
            shutil.copyfile(self._begin_with / "tokenizer.json", self._tokenizer)
        elif not self._tokenizer.exists():
            train_tokenizer(self._text.read_text().splitlines(), self._tokenizer)
        if not self._phonemes.exists():
            Phonemes.from_espeak().save(self._phonemes)

    def _train(self) -> None:
        plan = TrainingPlan(
            bank=self._bank,
            held_out=self._held_out,
            tokenizer=self._tokenizer,
            phonemes=self._phonemes,
            checkpoint=self._checkpoint,
            log=self._log,
            minutes=self._budget.minutes,
            begin_with=self._begin_with,
        )
        self._progress.say(f"training for {plan.minutes:.3g} minutes")
        training.train(plan)

    def _export(self) -> None:
        shape, weights = checkpoint.averaged_model(self._checkpoint)
        export.export(shape, weights, self._tokenizer, self._model)
        self._progress.say(f"exported to {self._model}")

    def _evaluate(self, folders: list[Path]) -> None:
        extent = self._budget.extent
        figures = {
            name: evaluate(name, folder, self._held_out, extent, self._progress)
            for name, folder in distinct_names(folders).items()
        }
        write_figures(figures, self._figures)
        self._progress.say(f"figures in {self._figures.with_suffix('.md')}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="recipe", description="see ../make --help, which starts this")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where everything is kept")
    parser.add_argument("--smoke", action="store_true", help="little of everything: does it run?")
    parser.add_argument("--minutes", type=float, help="how long to train")
    parser.add_argument("--clips", type=int, help="how many sentences are spoken for the training")
    parser.add_argument(
        "--from", dest="begin_with", type=_model_folder, metavar="DIR", help="go on with the model in this folder"
    )
    parser.add_argument(
        "--evaluate", type=_model_folder, action="append", default=[], metavar="DIR", help="measure this too"
    )
    return parser.parse_args()


def _model_folder(argument: str) -> Path:
    folder = Path(argument)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise argparse.ArgumentTypeError(f"{folder} is not the folder of a model: it has no {name}")
    return folder
