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

CTRANSLATE2_KINDS = ("int8", "float32")


def model(places: Places, name: str, say: Callable[[str], None]) -> Path:
    """The folder of a model: `hf`, `ct2-*`, `ggml-*.bin`, `openvino-*`."""
    folder = places.models / name
    hf = folder / "hf"
    if not hf.exists():
        say(f"making a checkpoint of the shape of {name}")
    checkpoint.write(hf, checkpoint.SHAPES[name])
    for kind in CTRANSLATE2_KINDS:
        convert_to_ctranslate2(places, hf, folder / f"ct2-{kind}", kind, say)
    convert_for_others(places, folder, (), say)
    return folder


def real_model(places: Places, weights: Path, shown: Sequence[Path], say: Callable[[str], None]) -> Path:
    """The same folder for the weights in a CTranslate2 folder, which faster-whisper takes as it is.

    `shown`: WAV files of speech, by which OpenVINO rounds what comes into the encoder.
    """
    folder = places.models / f"real-{weights.name}"
    folder.mkdir(parents=True, exist_ok=True)
    for kind in CTRANSLATE2_KINDS:
        link = folder / f"ct2-{kind}"
        link.unlink(missing_ok=True)
        link.symlink_to(weights)
    if not (folder / "hf").exists():
        command = [places.transformers, HERE / "hugging_face_export.py", weights, folder / "hf"]
        convert(command, f"{weights.name} to Hugging Face's layout", say)
    if (folder / "hf").exists():
        convert_for_others(places, folder, shown, say)
    return folder


def convert_for_others(places: Places, folder: Path, shown: Sequence[Path], say: Callable[[str], None]) -> None:
    """From Hugging Face's layout to whisper.cpp's and OpenVINO's."""
    for kind in ggml.TYPES:
        ggml.write(folder / "hf", folder / f"ggml-{kind}.bin", kind)
    for kind in OPENVINO_KINDS:
        convert_to_openvino(places, folder / "hf", folder / f"openvino-{kind}", kind, shown, say)


def convert_to_ctranslate2(places: Places, hf: Path, out: Path, kind: str, say: Callable[[str], None]) -> None:
    """By its own converter, unless that was done or cannot be."""
    if (out / "model.bin").exists() or not places.transformers.exists():
        return
    converter = places.transformers.with_name("ct2-transformers-converter")
    command = [converter, "--model", hf, "--output_dir", out, "--quantization", kind, "--force", "--copy_files"]
    command += ["tokenizer.json", "preprocessor_config.json"]
    convert(command, f"{hf.parent.name} to CTranslate2 {kind}", say)


def convert_to_openvino(
    places: Places, hf: Path, out: Path, kind: str, shown: Sequence[Path], say: Callable[[str], None]
) -> None:
    """By its own converter, unless that was done or cannot be."""
    if out.exists() or not places.openvino.exists():
        return
    command = [places.openvino, HERE / "openvino_export.py", hf, out, kind, *shown]
    convert(command, f"{hf.parent.name} to OpenVINO {OPENVINO_KINDS[kind]}", say)


def convert(command: Sequence[str | Path], what: str, say: Callable[[str], None]) -> None:
    """Runs a converter; whoever loads what it did not make will say that it is not there."""
    say(f"converting {what}")
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=offline)
    if done.returncode != 0:
        say(f"the conversion failed: {done.stderr.strip().splitlines()[-1:]}")
