"""Makes what the engines load: each checkpoint once, then in the form of each peer."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import checkpoint
import ggml
from catalogue import HERE, OPENVINO_KINDS, Places

# Converting the largest on a slow machine.
PATIENCE_S = 1800.0


def model(places: Places, name: str, say: Callable[[str], None]) -> Path:
    """The folder of a model: `hf`, `ct2-*`, `ggml-*.bin`, `openvino-*`."""
    folder = places.models / name
    hf = folder / "hf"
    if not hf.exists():
        say(f"making a checkpoint of the shape of {name}")
    checkpoint.write(hf, checkpoint.SHAPES[name])
    for kind in ("int8", "float32"):
        convert_to_ctranslate2(places, hf, folder / f"ct2-{kind}", kind, say)
    for kind in ggml.TYPES:
        ggml.write(hf, folder / f"ggml-{kind}.bin", kind)
    for kind in OPENVINO_KINDS:
        convert_to_openvino(places, hf, folder / f"openvino-{kind}", kind, say)
    return folder


def convert_to_ctranslate2(places: Places, hf: Path, out: Path, kind: str, say: Callable[[str], None]) -> None:
    """By its own converter, unless that was done or cannot be."""
    if (out / "model.bin").exists() or not places.transformers.exists():
        return
    converter = places.transformers.with_name("ct2-transformers-converter")
    command = [converter, "--model", hf, "--output_dir", out, "--quantization", kind, "--force", "--copy_files"]
    command += ["tokenizer.json", "preprocessor_config.json"]
    convert(command, f"{hf.parent.name} to CTranslate2 {kind}", say)


def convert_to_openvino(places: Places, hf: Path, out: Path, kind: str, say: Callable[[str], None]) -> None:
    """By its own converter, unless that was done or cannot be."""
    if out.exists() or not places.openvino.exists():
        return
    command = [places.openvino, HERE / "openvino_export.py", hf, out, kind]
    convert(command, f"{hf.parent.name} to OpenVINO {OPENVINO_KINDS[kind]}", say)


def convert(command: Sequence[str | Path], what: str, say: Callable[[str], None]) -> None:
    """Runs a converter; whoever loads what it did not make will say that it is not there."""
    say(f"converting {what}")
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=offline)
    if done.returncode != 0:
        say(f"the conversion failed: {done.stderr.strip().splitlines()[-1:]}")
