"""A checkpoint in the form of OpenVINO GenAI. usage: openvino_export.py HF_DIR OUT_DIR KIND [WAV…]

KIND: `w8` rounds weights to bytes, as the models are that OpenVINO publishes; `int8` also multiplies bytes in the
encoder, where inputs are rounded by what the given recordings showed, or else by made-up spectrograms: those are fit for
speed alone, accuracy depends on the speech that it is shown.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino
from openvino_tokenizers import convert_tokenizer
from optimum.intel import OVModelForSpeechSeq2Seq
from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor

sys.path.append(str(Path(__file__).parent / "engines"))

from line_protocol import samples

ENCODER = "openvino_encoder_model"
# Of a spectrogram: about -1 to 1.5, in 30 s.
FRAMES = 3000
SHOWN = 8


def main(hf: Path, out: Path, kind: str, speech: list[str]) -> None:
    """Everything a pipeline reads."""
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    export(hf, unfinished, rounded=True)
    if kind == "int8":
        whole = unfinished / "whole"
        export(hf, whole, rounded=False)
        encoder = openvino.Core().read_model(whole / f"{ENCODER}.xml")
        openvino.save_model(rounded_encoder(encoder, heard(hf, speech) if speech else made_up(hf)), unfinished / f"{ENCODER}.xml", compress_to_fp16=False)
        del encoder
        shutil.rmtree(whole)
    tokenizer(hf, unfinished)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


def export(hf: Path, out: Path, *, rounded: bool) -> None:
    """Encoder and decoder."""
    OVModelForSpeechSeq2Seq.from_pretrained(hf, export=True, compile=False, load_in_8bit=rounded).save_pretrained(out)


def mels(hf: Path) -> int:
    """Channels of the spectrogram."""
    return json.loads((hf / "preprocessor_config.json").read_text())["feature_size"]


def made_up(hf: Path) -> list[Any]:
    """Spectrograms of nothing: random numbers in the range of real ones."""
    random = np.random.default_rng(1)
    shape = (1, mels(hf), FRAMES)
    return [np.clip(random.standard_normal(shape, dtype=np.float32) / 2, -1, 1.5) for _ in range(SHOWN)]


def heard(hf: Path, speech: list[str]) -> list[Any]:
    """Spectrograms of recordings."""
    features = WhisperFeatureExtractor.from_pretrained(hf)
    return [features(samples(path), sampling_rate=16_000, return_tensors="np").input_features for path in speech]


def rounded_encoder(encoder: openvino.Model, shown: list[Any]) -> openvino.Model:
    """With inputs and weights of every product in bytes."""
    return nncf.quantize(encoder, nncf.Dataset(shown), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(shown))


def tokenizer(hf: Path, out: Path) -> None:
    """As graphs, which is how a pipeline wants it."""
    for name in ("preprocessor_config.json", "tokenizer.json", "vocab.json", "added_tokens.json"):
        shutil.copy(hf / name, out)
    ends = dict.fromkeys(("bos_token", "eos_token", "pad_token"), "<|endoftext|>")
    read = PreTrainedTokenizerFast(tokenizer_file=str(hf / "tokenizer.json"), **ends)
    there, back = convert_tokenizer(read, with_detokenizer=True, skip_special_tokens=True)
    openvino.save_model(there, out / "openvino_tokenizer.xml")
    openvino.save_model(back, out / "openvino_detokenizer.xml")


main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
