"""Engines in turn, round after round, so that what else the machine does falls on all of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from catalogue import Contender, Places
from child import Child, ChildError, Engine, environment
from figures import Row, Sample

# After one engine's work, before the next one's: memory is given back, clocks settle.
BREATH_S = 0.05

# Cases from one line about the progress to the next.
TOLD = 10


@dataclass(frozen=True)
class Case:
    """Something to transcribe."""

    # What tables call it.
    name: str
    # Several are transcribed at once.
    audio: tuple[Path, ...]
    # As long as the model's window: there is nothing to trim.
    is_whole_window: bool = False
    # Or in the first round only.
    is_repeated: bool = True


def due(cases: Sequence[Case], number: int) -> list[Case]:
    """Those of a round; the first is 0."""
    return [case for case in cases if number == 0 or case.is_repeated]


@dataclass(frozen=True)
class Lane:
    """An engine with a window."""

    engine: Engine
    contender: Contender
    row: Row


@dataclass(frozen=True)
class Setting:
    """What all races of one model share."""

    model: str
    folder: Path
    # Short audio, for the first utterances of a process, which are not measured.
    warm_up: Path
    # What each transcript must be. `None`: any text is taken, and scored later.
    script: Sequence[str] | None
    places: Places
    threads: int
    say: Callable[[str], None]
    # What was left out, and why.
    left_out: list[str]
    # What each engine says that it is.
    versions: dict[str, str]

    def leave_out(self, contender: Contender, table: str, error: Exception) -> None:
        """Tells it; the others go on."""
        self.left_out.append(f"{contender.label}, {self.model} ({table}): {error}")
        self.say(f"left out: {self.left_out[-1]}")

    def told(self, cases: Sequence[Case]) -> Iterator[Case]:
        """The same, and now and then how many are done."""
        for done, case in enumerate(cases):
            if done and done % TOLD == 0:
                self.say(f"{done} of {len(cases)} done")
            yield case

    def check(self, process: Child, text: str) -> None:
        """Raises where a transcript is not what it must be."""
        if self.script is not None and text.split() != list(self.script):
            raise process.fault(f"says {text!r}, not the script")

    def log(self, contender: Contender, table: str) -> Path:
        """Where a process says what is wrong."""
        return self.places.logs / f"{table}-{self.model}-{contender.key}.log"


@dataclass(frozen=True)
class Race:
    """One table of one model."""

    setting: Setting
    table: str
    contenders: Sequence[Contender]
    cases: Sequence[Case]

    def run(self, rounds: int) -> Iterator[Sample]:
        """Loads all, then measures."""
        with ExitStack() as stack:
            lanes = [lane for contender in self.contenders for lane in self.load(stack, contender)]
            for number in range(rounds):
                self.setting.say(f"{self.table}, {self.setting.model}: round {number + 1} of {rounds}")
                for case in self.setting.told(due(self.cases, number)):
                    # Nobody always comes behind the same one.
                    shift = number % max(1, len(lanes))
                    for lane in lanes[shift:] + lanes[:shift]:
                        if self.is_wanted(lane, case):
                            yield from self.measure(lanes, lane, case)

    def is_wanted(self, lane: Lane, case: Case) -> bool:
        """Trimming audio that fills the window changes nothing."""
        return lane.row.window == "exact" or not case.is_whole_window

    def load(self, stack: ExitStack, contender: Contender) -> list[Lane]:
        """Starts an engine and lets it say its words once with each window."""
        setting = self.setting
        command = contender.line(model=setting.folder, threads=setting.threads)
        env = environment(contender.env, setting.threads)
        try:
            engine = stack.enter_context(Engine(command, env, setting.log(contender, self.table)))
            limit = ", nothing above AVX2" if self.table == "avx2" else ""
            setting.versions[contender.label + limit] = engine.loaded["version"]
            lanes = []
            for window in contender.windows:
                row = Row(self.table, setting.model, contender.key, contender.family, contender.label, window)
                lane = Lane(engine, contender, row)
                # Once alone and once side by side: each may have something to set up.
                for at_once in (1, 2):
                    self.ask(lane, Case("warm-up", (setting.warm_up,) * at_once))
                lanes.append(lane)
            return lanes
        except (ChildError, OSError) as error:
            setting.leave_out(contender, self.table, error)
            return []

    def measure(self, lanes: list[Lane], lane: Lane, case: Case) -> Iterator[Sample]:
        """One figure."""
        sleep(BREATH_S)
        try:
            answer = self.ask(lane, case)
        except ChildError as error:
            self.setting.leave_out(lane.contender, self.table, error)
            lanes[:] = [other for other in lanes if other.engine is not lane.engine]
            return
        text = "" if self.setting.script is not None else " ".join(answer["texts"])
        yield Sample(lane.row, case.name, answer["wall_ms"], answer.get("parts_ms", {}), text)

    def ask(self, lane: Lane, case: Case) -> dict:
        """The answer, if each transcript is what it must be."""
        audio = [str(path) for path in case.audio]
        answer = lane.engine.ask({"audio": audio, "window": lane.row.window})
        for text in answer["texts"]:
            self.setting.check(lane.engine, text)
        return answer
