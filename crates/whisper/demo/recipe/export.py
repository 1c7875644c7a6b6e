"""The export stage: a folder in Hugging Face's layout, as a program loads it."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from recipe.features import HOP, N_MELS, SAMPLE_RATE_HZ, WINDOW_POSITIONS
from recipe.model import TEXT_POSITIONS, Shape, Whisper
from recipe.tokenizer import Vocabulary


def export(shape: Shape, weights: dict[str, torch.Tensor], tokenizer: Path, folder: Path) -> None:
    """Writes weights in f16, the two configurations, the front end's, and the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {f"model.{name}": value.half().contiguous() for name, value in weights.items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    # safetensors lets only the owner read it.
    (folder / "model.safetensors").chmod(0o644)
    vocabulary = Vocabulary(tokenizer)
    _write(folder / "config.json", _config(shape, vocabulary))
    _write(folder / "generation_config.json", _generation_config(vocabulary))
    _write(folder / "preprocessor_config.json", _PREPROCESSOR_CONFIG)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")


def load(folder: Path) -> tuple[Whisper, Vocabulary]:
    """The model of an exported folder, computing in f32."""
    config = json.loads((folder / "config.json").read_text())
    shape = Shape(
        tokens=config["vocab_size"],
        width=config["d_model"],
        encoder_layers=config["encoder_layers"],
        decoder_layers=config["decoder_layers"],
        heads=config["encoder_attention_heads"],
    )
    model = Whisper(shape)
    stored = load_file(folder / "model.safetensors")
    model.load_state_dict({name.removeprefix("model."): value.float() for name, value in stored.items()})
    return model.eval(), Vocabulary(folder / "tokenizer.json")


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def _config(shape: Shape, vocabulary: Vocabulary) -> dict[str, object]:
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "vocab_size": shape.tokens,
        "num_mel_bins": N_MELS,
        "d_model": shape.width,
        "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.heads,
        "encoder_ffn_dim": 4 * shape.width,
        "decoder_ffn_dim": 4 * shape.width,
        "max_source_positions": WINDOW_POSITIONS,
        "max_target_positions": TEXT_POSITIONS,
        "activation_function": "gelu",
        "scale_embedding": False,
        "pad_token_id": vocabulary.end,
        "bos_token_id": vocabulary.end,
        "eos_token_id": vocabulary.end,
        "decoder_start_token_id": vocabulary.start,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "use_cache": True,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "suppress_tokens": [],
        # Whisper's own list forbids endoftext as the first token: silence could never be an empty text.
        "begin_suppress_tokens": [],
    }


def _generation_config(vocabulary: Vocabulary) -> dict[str, object]:
    return {
        "bos_token_id": vocabulary.end,
        "eos_token_id": vocabulary.end,
        "pad_token_id": vocabulary.end,
        "decoder_start_token_id": vocabulary.start,
        "is_multilingual": True,
        "lang_to_id": {"<|en|>": vocabulary.english},
        "task_to_id": {"transcribe": vocabulary.transcribe, "translate": vocabulary.translate},
        "no_timestamps_token_id": vocabulary.no_timestamps,
        "prev_sot_token_id": vocabulary.previous,
        "max_length": TEXT_POSITIONS,
        "max_initial_timestamp_index": 50,
        "return_timestamps": False,
        "suppress_tokens": [],
        "begin_suppress_tokens": [],
    }


_PREPROCESSOR_CONFIG: dict[str, object] = {
    "chunk_length": 30,
    "dither": 0.0,
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": N_MELS,
    "hop_length": HOP,
    "n_fft": 400,
    "n_samples": 30 * SAMPLE_RATE_HZ,
    "nb_max_frames": 30 * SAMPLE_RATE_HZ // HOP,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
    "sampling_rate": SAMPLE_RATE_HZ,
}
