"""Accuracy and time on OpenAI's weights and recordings of people, ours and the peers'; `run --real` starts it."""

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import catalogue_real
import machine
import real_chart
import real_report
from accuracy import Expected, scores
from benchmark import ROOT, names, say
from catalogue import Contender, Places, missing
from figures import Sample
from rounds import Case, Race, Setting
from spoken import evenly, write

MODELS = ("tiny.en", "base")
TABLES = ("engines", "wire")
# Recordings of later rounds, which are for time alone.
REPEATED = 10
SHARED = ROOT.parent / "shared" / "real-speech"

DESCRIPTION = """\
Measures accuracy and time of wyoming-stt, faster-whisper, whisper.cpp, OpenVINO and transformers on the same weights
(OpenAI's, from PyPI) and the same recordings of people, in rounds in which all take turns, recording by recording; then
wyoming-stt's and wyoming-faster-whisper's servers through their Wyoming port, each as it comes.
"""
EPILOG = """\
The recordings are 13 of Debian's pocketsphinx-testdata, whose words are known. With --recordings DIR, a folder like
../shared/real-speech, which does not come with this project, also its readings and its spoken orders. The first round
takes all recordings; later rounds, which are for time alone, ten of the orders (of all, where there are none).

DIR of --out then has real.md and real.svg; --redraw makes them again from the last measurement.
Close everything else: other work falls on all alike, but makes the figures of time worth less. The first run builds the
program and fetches about 3 GB of packages (torch brings them); later ones start at once.

  tests/peers/run --real --rounds 1 --orders 10    some minutes: is all there?
  tests/peers/run --real                           tiny.en, 40 orders, three rounds: some 20 minutes on two cores
  tests/peers/run --real --models tiny.en,base --orders 200    some hours
"""


@dataclass
class Run:
    """What is measured, and what came of it."""

    models: Sequence[Path]
    rounds: int
    orders: int
    recordings: Path
    tables: Sequence[str]
    threads: int
    places: Places
    out: Path
    raw: Path
    expected: dict[str, Expected] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def measure(self) -> None:
        """Everything, one model after the other; what there is so far is written after each table."""
        import prepare

        self.places.logs.mkdir(parents=True, exist_ok=True)
        if not self.recordings.is_dir():
            say(f"there is no folder {self.recordings}: without orders, words of 13 recordings are counted")
        heard = write(self.places.models / "recordings", self.recordings, self.orders)
        self.expected = {name: expected for name, (_, expected) in heard.items()}
        self.left_out += [f"{family}: {reason}" for family, reason in missing(self.places).items()]
        shown = [path for path, expected in heard.values() if expected.words][:8]
        for weights in self.models:
            setting = Setting(
                model=weights.name,
                folder=prepare.real_model(self.places, weights, shown, say),
                warm_up=shown[0],
                script=None,
                places=self.places,
                threads=self.threads,
                say=say,
                left_out=self.left_out,
                versions=self.versions,
            )
            for table in self.tables:
                try:
                    self.samples.extend(self.race(table, setting, {name: path for name, (path, _) in heard.items()}))
                finally:
                    # What was measured before an interruption is kept.
                    self.write()

    def race(self, table: str, setting: Setting, audio: dict[str, Path]) -> Iterable[Sample]:
        """One table of one model."""
        orders = [name for name in audio if self.expected[name].slots] or list(audio)
        again = evenly(orders, REPEATED)
        cases = [Case(name, (path,), is_repeated=name in again) for name, path in audio.items()]
        if table == "wire":
            import wire

            cases = [case for case in cases if case.name in orders]
            return wire.WireRace(setting, self.present(catalogue_real.servers(self.places)), cases).run(self.rounds)
        return Race(setting, table, self.present(catalogue_real.engines(self.places)), cases).run(self.rounds)

    def present(self, contenders: list[Contender]) -> list[Contender]:
        """Those that are installed."""
        absent = missing(self.places)
        return [contender for contender in contenders if contender.family not in absent]

    def write(self) -> None:
        """Raw numbers, tables and chart."""
        value = {
            "threads": self.threads,
            "rounds": self.rounds,
            "machine": asdict(machine.this()),
            "versions": self.versions,
            "left_out": self.left_out,
            "expected": {name: asdict(expected) for name, expected in self.expected.items()},
            "samples": [sample.as_json() for sample in self.samples],
        }
        self.raw.parent.mkdir(parents=True, exist_ok=True)
        self.raw.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        draw(self.raw, self.out)


def draw(raw: Path, out: Path) -> None:
    """Tables and chart of a measurement."""
    value = json.loads(raw.read_text(encoding="utf-8"))
    measured = real_report.Measured(
        samples=[Sample.from_json(sample) for sample in value["samples"]],
        expected={
            name: Expected(expected["words"], tuple(expected["slots"])) for name, expected in value["expected"].items()
        },
        machine=machine.Machine(**{**value["machine"], "features": tuple(value["machine"]["features"])}),
        threads=value["threads"],
        rounds=value["rounds"],
        versions=value["versions"],
        left_out=value["left_out"],
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "real.md").write_text(real_report.markdown(measured), encoding="utf-8")
    found = scores(measured.of("engines"), measured.expected)
    (out / "real.svg").write_text(real_chart.svg(found, measured.subtitle()), encoding="utf-8")


def arguments(given: list[str]) -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        "tests/peers/run --real",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", type=names(MODELS), default=["tiny.en"], help=f"of {','.join(MODELS)}; default tiny.en")
    add("--orders", type=positive, default=40, metavar="N", help="spoken orders, of 200; default 40")
    add("--rounds", type=positive, default=3, metavar="N", help="measurements of each figure; default 3")
    add("--recordings", type=Path, default=SHARED, metavar="DIR", help="default ../shared/real-speech")
    add("--only", type=names(TABLES), default=list(TABLES), help=f"of {','.join(TABLES)}; default all")
    add("--threads", type=positive, default=2, metavar="N", help="for each engine; servers choose; default 2")
    add("--out", type=Path, default=ROOT / "tests/peers/figures", metavar="DIR", help="default tests/peers/figures")
    add("--redraw", action="store_true", help="measure nothing: tables and chart of the last measurement again")
    # `run` fills these in.
    for name in ("work", "weights", "server", "race", "transformers", "whisper-cpp", "openvino"):
        add(f"--{name}", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def positive(text: str) -> int:
    """A number of at least one."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text}: a whole number of at least 1 is needed")
    return int(text)


def main() -> None:
    """From the command line to files."""
    # Leaving in order ends the engines, which rest and would not notice.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = arguments(sys.argv[1:])
    raw = chosen.work / "real" / "results.json"
    if chosen.redraw:
        if not raw.exists():
            sys.exit(f"error: nothing was measured yet: {raw} is not there")
        draw(raw, chosen.out)
        return
    run = Run(
        models=[chosen.weights / name for name in chosen.models],
        rounds=chosen.rounds,
        orders=chosen.orders,
        recordings=chosen.recordings,
        tables=chosen.only,
        threads=chosen.threads,
        places=Places.of(chosen),
        out=chosen.out,
        raw=raw,
    )
    run.measure()
    for reason in dict.fromkeys(run.left_out):
        say(f"left out: {reason}")
    say(f"done: {chosen.out}/real.md and real.svg")


if __name__ == "__main__":
    main()
