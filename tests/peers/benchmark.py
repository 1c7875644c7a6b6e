"""Measures wyoming-stt beside its peers; `run` beside this file installs what it needs and starts it."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import chart
import checkpoint
import machine
import report
from catalogue import Contender, Places, engines, engines_at_avx2, missing, servers
from figures import Figures, Sample
from rounds import Case, Race, Setting
from vocabulary import SCRIPT

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures/audio"

DESCRIPTION = """\
Measures wyoming-stt beside faster-whisper, whisper.cpp, OpenVINO, transformers and wyoming-faster-whisper on this
machine, in rounds in which all take turns, and writes tables and a chart. Checkpoints are made here: official shapes,
random weights, made so that everybody says the same 32 words. Nothing is downloaded but Python packages.
"""
EPILOG = """\
what is measured:
  engines  each engine in a process of its own: 3, 10 and 30 s of audio, and 2 and 8 utterances of 10 s at once
  avx2     the same with every engine limited to AVX2, without OpenVINO, which cannot be
  wire     the servers through their Wyoming port: latency with 1, 2 and 8 connections, start, memory

DIR then has report.md, chart.svg and results.json; --redraw makes the first two from the last.
Close everything else: other work falls on all alike, but makes the figures worth less. The first run builds the
program and fetches about 3 GB of packages (torch brings them); later ones start at once. A peer that cannot be
installed or that fails is reported and left out.

  tests/peers/run --quick     some minutes: is all there?
  tests/peers/run             tiny and base, five rounds: about half an hour on two cores
"""
TABLES = ("engines", "avx2", "wire")


@dataclass
class Run:
    """What is measured, and what came of it."""

    models: list[str]
    rounds: int
    tables: list[str]
    threads: int
    quick: bool
    places: Places
    out: Path
    samples: list[Sample] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def measure(self) -> None:
        """Everything, one model after the other; what there is so far is written after each."""
        import prepare
        import sound

        self.places.logs.mkdir(parents=True, exist_ok=True)
        audio = {seconds: sound.write(self.places.models, FIXTURES, seconds) for seconds in (3, 10, 30)}
        self.left_out += [f"{family}: {reason}" for family, reason in missing(self.places).items()]
        folders = {name: prepare.model(self.places, name, say) for name in self.models}
        for name, folder in folders.items():
            setting = Setting(
                model=name,
                folder=folder,
                warm_up=audio[3],
                script=SCRIPT,
                places=self.places,
                threads=self.threads,
                say=say,
                left_out=self.left_out,
                versions=self.versions,
            )
            for table in self.tables:
                self.samples.extend(self.race(table, setting, audio))
                self.write()

    def race(self, table: str, setting: Setting, audio: Mapping[int, Path]) -> Iterable[Sample]:
        """One table of one model."""
        alone = [spoken(audio, seconds) for seconds in (3, 10, 30)]
        together = [] if self.quick else [spoken(audio, 10, at_once) for at_once in (2, 8)]
        if table == "wire":
            import wire

            cases = [*alone[:2], *together]
            return wire.WireRace(setting, self.present(servers(self.places)), cases).run(self.rounds)
        if table == "avx2":
            return Race(setting, table, self.present(engines_at_avx2(self.places)), alone).run(self.rounds)
        return Race(setting, table, self.present(engines(self.places)), [*alone, *together]).run(self.rounds)

    def present(self, contenders: list[Contender]) -> list[Contender]:
        """Those that are installed."""
        absent = missing(self.places)
        return [contender for contender in contenders if contender.family not in absent]

    def write(self) -> None:
        """Raw numbers, tables and chart."""
        self.out.mkdir(parents=True, exist_ok=True)
        value = {
            "threads": self.threads,
            "machine": machine.this().__dict__,
            "versions": self.versions,
            "left_out": self.left_out,
            "samples": [sample.as_json() for sample in self.samples],
        }
        (self.out / "results.json").write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        draw(self.out)


def spoken(audio: Mapping[int, Path], seconds: int, at_once: int = 1) -> Case:
    """Utterances of one length."""
    name = f"{seconds} s" if at_once == 1 else f"{at_once} × {seconds} s"
    return Case(name, (audio[seconds],) * at_once, is_whole_window=seconds >= 30)


def draw(out: Path) -> None:
    """Tables and chart of a results.json."""
    value = json.loads((out / "results.json").read_text(encoding="utf-8"))
    figures = Figures(Sample.from_json(sample) for sample in value["samples"])
    here = machine.Machine(**{**value["machine"], "features": tuple(value["machine"]["features"])})
    text = report.markdown(figures, here, value["threads"], value["versions"], value["left_out"])
    (out / "report.md").write_text(text, encoding="utf-8")
    subtitle = f"{value['threads']} threads of {here.name} ({', '.join(here.features)}), random weights, 32 words"
    (out / "chart.svg").write_text(chart.svg(figures, subtitle), encoding="utf-8")


def say(text: str) -> None:
    """What goes on."""
    print(f"== {text}", file=sys.stderr, flush=True)


def names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Parses a list with commas."""
    allowed = list(known)

    def parse(text: str) -> list[str]:
        chosen = [name for name in text.split(",") if name]
        wrong = [name for name in chosen if name not in allowed]
        if wrong or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong) or 'nothing'}: choose from {', '.join(allowed)}")
        return chosen

    return parse


def arguments(given: list[str]) -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        "tests/peers/run", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="tiny alone, two rounds, one utterance at a time")
    add("--models", type=names(checkpoint.SHAPES), help=f"of {','.join(checkpoint.SHAPES)}; default tiny,base")
    add("--rounds", type=int, help="measurements of each figure; default 5")
    add("--only", type=names(TABLES), default=list(TABLES), help=f"of {','.join(TABLES)}; default all")
    add("--threads", type=int, default=2, help="for each engine and server; default 2")
    add("--out", type=Path, default=ROOT / "target/peers/out", metavar="DIR", help="default target/peers/out")
    add("--redraw", action="store_true", help="measure nothing: tables and chart of DIR/results.json again")
    add("--test", action="store_true", help="measure nothing: run the tests of the benchmark itself")
    # `run` fills these in.
    for name in ("work", "server", "race", "transformers", "whisper-cpp", "openvino"):
        add(f"--{name}", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main() -> None:
    """From the command line to files."""
    # Leaving in order ends the engines, which rest and would not notice.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = arguments(sys.argv[1:])
    if chosen.redraw:
        draw(chosen.out)
        return
    run = Run(
        models=chosen.models or (["tiny"] if chosen.quick else ["tiny", "base"]),
        rounds=chosen.rounds or (2 if chosen.quick else 5),
        tables=chosen.only,
        threads=chosen.threads,
        quick=chosen.quick,
        places=Places.of(chosen),
        out=chosen.out,
    )
    run.measure()
    for reason in dict.fromkeys(run.left_out):
        say(f"left out: {reason}")
    say(f"done: {chosen.out}/report.md and chart.svg")


if __name__ == "__main__":
    main()
