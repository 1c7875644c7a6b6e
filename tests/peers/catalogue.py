"""Who takes part: our engine and the others, our server and the other one, and how each is started."""

import importlib.util
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Places:
    """Where things are."""

    # Checkpoints and what is made of them.
    models: Path
    logs: Path
    # Our program, and `crates/whisper/examples/race.rs`.
    server: Path
    race: Path
    # A Python that has torch and transformers; may be missing.
    transformers: Path
    # A Python that has a whisper.cpp compiled for this CPU; may be missing.
    whisper_cpp: Path
    # A Python that has OpenVINO; may be missing.
    openvino: Path

    @classmethod
    def of(cls, chosen: Namespace) -> "Places":
        """As `run` tells them on the command line."""
        return cls(
            models=chosen.work / "models",
            logs=chosen.work / "logs",
            server=chosen.server,
            race=chosen.race,
            transformers=chosen.transformers,
            whisper_cpp=chosen.whisper_cpp,
            openvino=chosen.openvino,
        )


@dataclass(frozen=True)
class Contender:
    """One engine or server in one configuration."""

    key: str
    # Whose it is.
    family: str
    label: str
    # What is run: {model} is the folder of the model, {threads} and {port} are numbers.
    command: tuple[str, ...]
    # exact: 30 s as the model was trained. dynamic: the audio and a margin.
    windows: tuple[str, ...] = ("exact",)
    env: Mapping[str, str] = field(default_factory=dict)

    def line(self, **values: object) -> list[str]:
        """The command with everything filled in."""
        return [part.format(**values) for part in self.command]


OURS = "wyoming-stt"
BOTH = ("exact", "dynamic")

# How `openvino_export.py` rounds, and what that is called here.
OPENVINO_KINDS = {"w8": "int8 weights", "int8": "int8"}

# What limits the others to AVX2; OpenVINO, limited so, stops with an error of its own.
CTRANSLATE2_AVX2 = {"CT2_FORCE_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
TORCH_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def engines(places: Places) -> list[Contender]:
    """In process, every CPU instruction allowed."""
    return [
        *(ours(places, precision) for precision in ("f32", "int8")),
        *(faster_whisper(kind) for kind in ("int8", "float32")),
        *(whisper_cpp(kind, native(places)) for kind in ("f16", "q8_0", "q5_1")),
        *(openvino(places, kind) for kind in OPENVINO_KINDS),
        *(transformers(places, dtype) for dtype in ("float32", "bfloat16")),
    ]


def engines_at_avx2(places: Places) -> list[Contender]:
    """In process, no more than AVX2, which whisper.cpp's wheel is built for; bf16 needs more."""
    return [
        ours(places, "int8", "--level", "avx2"),
        *(faster_whisper(kind, CTRANSLATE2_AVX2) for kind in ("int8", "float32")),
        *(whisper_cpp(kind, Path(sys.executable)) for kind in ("f16", "q8_0")),
        transformers(places, "float32", TORCH_AVX2),
    ]


def ours(places: Places, precision: str, *more: str) -> Contender:
    """Our engine."""
    command = (str(places.race), "{model}/hf", "--precision", precision, "--threads", "{threads}", *more)
    return Contender(f"ours-{precision}", OURS, f"wyoming-stt {precision}", command, BOTH)


def faster_whisper(kind: str, env: Mapping[str, str] | None = None, beams: int = 1) -> Contender:
    """CTranslate2."""
    command = python("faster_whisper_engine.py", f"{{model}}/ct2-{kind}", kind, "{threads}", str(beams))
    several = f", {beams} beams" if beams > 1 else ""
    label = f"faster-whisper {short(kind)}{several}"
    return Contender(f"faster-whisper-{kind}-{beams}", "faster-whisper", label, command, env=env or {})


def native(places: Places) -> Path:
    """Who runs whisper.cpp with all that this CPU has; where it could not be compiled, the wheel."""
    return places.whisper_cpp if places.whisper_cpp.exists() else Path(sys.executable)


def whisper_cpp(kind: str, interpreter: Path) -> Contender:
    """ggml."""
    arguments = python("whisper_cpp_engine.py", f"{{model}}/ggml-{kind}.bin", "{threads}")[1:]
    command = (str(interpreter), *arguments)
    return Contender(f"whisper-cpp-{kind}", "whisper.cpp", f"whisper.cpp {kind}", command, BOTH)


def openvino(places: Places, kind: str) -> Contender:
    """OpenVINO GenAI."""
    command = (str(places.openvino), *python("openvino_engine.py", f"{{model}}/openvino-{kind}", "{threads}")[1:])
    return Contender(f"openvino-{kind}", "OpenVINO", f"OpenVINO {OPENVINO_KINDS[kind]}", command)


def transformers(places: Places, dtype: str, env: Mapping[str, str] | None = None) -> Contender:
    """torch."""
    command = (str(places.transformers), *python("transformers_engine.py", "{model}/hf", dtype, "{threads}")[1:])
    label = f"transformers {short(dtype)}"
    return Contender(f"transformers-{dtype}", "transformers", label, command, env=env or {})


def servers(places: Places) -> list[Contender]:
    """On the wire, all decoding greedily."""
    wyoming_stt = (
        *(str(places.server), "serve", "--uri", "tcp://127.0.0.1:{port}", "--admin", "off", "--model", "{model}/hf"),
        *("--language", "en", "--beam-size", "1", "--cpu-threads", "{threads}"),
    )
    int8 = (*wyoming_stt, "--precision", "int8")
    wyoming_faster_whisper = (
        *(sys.executable, "-m", "wyoming_faster_whisper", "--uri", "tcp://127.0.0.1:{port}"),
        *("--model", "{model}/ct2-int8", "--data-dir", "{model}", "--local-files-only", "--language", "en"),
        *("--compute-type", "int8", "--beam-size", "1", "--cpu-threads", "{threads}"),
    )
    return [
        Contender("stt-f32", OURS, "wyoming-stt f32", (*wyoming_stt, "--precision", "f32")),
        Contender("stt-int8", OURS, "wyoming-stt int8", int8),
        Contender("stt-int8-dynamic", OURS, "wyoming-stt int8", (*int8, "--window", "dynamic"), ("dynamic",)),
        Contender(
            "wyoming-faster-whisper", "wyoming-faster-whisper", "wyoming-faster-whisper int8", wyoming_faster_whisper
        ),
    ]


def python(script: str, *arguments: str) -> tuple[str, ...]:
    """One of the engines beside this file."""
    return (sys.executable, str(HERE / "engines" / script), *arguments)


def short(number: str) -> str:
    """float32 → f32."""
    return {"float32": "f32", "bfloat16": "bf16"}.get(number, number)


def missing(places: Places) -> dict[str, str]:
    """Families that are not there, and why."""
    absent = {}
    needed = {
        "faster-whisper": "faster_whisper",
        "whisper.cpp": "pywhispercpp",
        "wyoming-faster-whisper": "wyoming_faster_whisper",
    }
    for family, module in needed.items():
        if importlib.util.find_spec(module) is None:
            absent[family] = f"the package {module} could not be installed"
    if not places.transformers.exists():
        absent["transformers"] = "torch and transformers could not be installed"
        for family in ("faster-whisper", "wyoming-faster-whisper"):
            absent.setdefault(family, "its converter needs torch and transformers, which could not be installed")
    if not places.openvino.exists():
        absent["OpenVINO"] = "it, or the torch that its converter needs, could not be installed"
    return absent
