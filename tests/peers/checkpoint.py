"""Checkpoints of the official shapes with random weights, which always say the same 32 words.

Random weights say something random, and stop when they like: engines that differ in rounding would decode different
numbers of tokens. So the table of the decoder's positions is made to decide alone: position `p` holds a long vector in
the direction of the embedding of the token that is due next. Nothing that the layers add to it changes its direction
much, the last norm scales it up, and the output matrix, which is the embedding, finds that token with a probability of
one. Every layer computes as always; only what it computes is drowned.

    position:    0       1             2          3          4 …        35
    token there: <|sot|> <|en|>        <|task|>   <|0.00|>   word 1     word 32
    token due:   <|en|>  <|transcribe|> <|0.00|>  word 1     word 2     <|endoftext|>

A prompt without timestamps has `<|notimestamps|>` at position 3, so both ways say the same.
"""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vocabulary
from vocabulary import Vocabulary

AUDIO_POSITIONS = 1500
TEXT_POSITIONS = 448
SEED = 20

# Length of the vector of a position: far above the norms of what layers add, which are below 20.
LOUDNESS = 400.0
# Weight of the last norm: makes the logit of the token that is due about 30 higher than any other.
LAST_NORM = 6.0
# As transformers draws them.
DEVIATION = 0.02


@dataclass(frozen=True)
class Shape:
    """Of a published model."""

    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    mels: int = 80
    languages: int = 99


SHAPES = {
    "tiny": Shape(384, 4, 4, 6),
    "base": Shape(512, 6, 6, 8),
    "small": Shape(768, 12, 12, 12),
    "large-v3-turbo": Shape(1280, 32, 4, 20, mels=128, languages=100),
}


def due_tokens(words: Vocabulary) -> list[int]:
    """The token that is due after each position of the decoder."""
    start = [words.special_token(name) for name in ("<|en|>", "<|transcribe|>", "<|0.00|>")]
    said = start + words.script_tokens()
    return said + [words.special_token("<|endoftext|>")] * (TEXT_POSITIONS - len(said))


def write(folder: Path, shape: Shape) -> None:
    """Writes a checkpoint in Hugging Face's layout, unless it is there."""
    if (folder / "model.safetensors").exists():
        return
    from safetensors.numpy import save_file

    words = vocabulary.make(shape.languages)
    files = {
        "config.json": config(shape, words),
        "generation_config.json": generation_config(words),
        "preprocessor_config.json": preprocessor_config(shape),
        "tokenizer.json": words.tokenizer(),
        "vocab.json": words.tokens,
        "added_tokens.json": {text: words.special_token(text) for text in words.special},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    # The weights last, under another name until they are whole: their file says that all is there.
    unfinished = folder / "unfinished.safetensors"
    save_file(dict(tensors(shape, words)), unfinished, metadata={"format": "pt"})
    unfinished.rename(folder / "model.safetensors")


def config(shape: Shape, words: Vocabulary) -> dict[str, Any]:
    """`config.json`."""
    end = words.special_token("<|endoftext|>")
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "num_mel_bins": shape.mels,
        "d_model": shape.width,
        "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.heads,
        "encoder_ffn_dim": 4 * shape.width,
        "decoder_ffn_dim": 4 * shape.width,
        "max_source_positions": AUDIO_POSITIONS,
        "max_target_positions": TEXT_POSITIONS,
        "max_length": TEXT_POSITIONS,
        "vocab_size": words.size,
        "decoder_start_token_id": words.special_token("<|startoftranscript|>"),
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "tie_word_embeddings": True,
    }


def generation_config(words: Vocabulary) -> dict[str, Any]:
    """`generation_config.json`."""
    end = words.special_token("<|endoftext|>")
    never = ("<|startoftranscript|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>")
    languages = [text for text in words.special if text.removeprefix("<|").removesuffix("|>") in vocabulary.LANGUAGES]
    return {
        "decoder_start_token_id": words.special_token("<|startoftranscript|>"),
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "no_timestamps_token_id": words.special_token("<|notimestamps|>"),
        "prev_sot_token_id": words.special_token("<|startofprev|>"),
        "is_multilingual": True,
        "max_initial_timestamp_index": 50,
        "max_length": TEXT_POSITIONS,
        "suppress_tokens": [words.special_token(text) for text in never],
        "begin_suppress_tokens": [words.tokens[vocabulary.byte_characters()[ord(" ")]], end],
        "lang_to_id": {text: words.special_token(text) for text in languages},
        "task_to_id": {task: words.special_token(f"<|{task}|>") for task in ("transcribe", "translate")},
    }


def preprocessor_config(shape: Shape) -> dict[str, Any]:
    """`preprocessor_config.json`."""
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": shape.mels,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 30,
        "n_samples": 480_000,
        "nb_max_frames": 3_000,
        "padding_value": 0.0,
        "padding_side": "right",
        "return_attention_mask": False,
    }


def tensors(shape: Shape, words: Vocabulary) -> Iterator[tuple[str, Any]]:
    """Every weight by its name."""
    import numpy as np

    width, inner = shape.width, 4 * shape.width

    def matrix(name: str, *dims: int) -> tuple[str, Any]:
        random = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        return name, random.standard_normal(dims, dtype=np.float32) * np.float32(DEVIATION)

    def constant(name: str, value: float, length: int = width) -> tuple[str, Any]:
        return name, np.full(length, value, np.float32)

    def linear(name: str, outs: int, ins: int) -> Iterator[tuple[str, Any]]:
        yield matrix(f"{name}.weight", outs, ins)
        yield constant(f"{name}.bias", 0.0, outs)

    def norm(name: str, scale: float = 1.0) -> Iterator[tuple[str, Any]]:
        yield constant(f"{name}.weight", scale)
        yield constant(f"{name}.bias", 0.0)

    def attention(name: str) -> Iterator[tuple[str, Any]]:
        for part in ("q_proj", "v_proj", "out_proj"):
            yield from linear(f"{name}.{part}", width, width)
        yield matrix(f"{name}.k_proj.weight", width, width)
        yield from norm(f"{name}_layer_norm")

    def layers(side: str, count: int, attentions: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for index in range(count):
            layer = f"model.{side}.layers.{index}"
            for name in attentions:
                yield from attention(f"{layer}.{name}")
            yield from linear(f"{layer}.fc1", inner, width)
            yield from linear(f"{layer}.fc2", width, inner)
            yield from norm(f"{layer}.final_layer_norm")

    for index, ins in ((1, shape.mels), (2, width)):
        yield matrix(f"model.encoder.conv{index}.weight", width, ins, 3)
        yield constant(f"model.encoder.conv{index}.bias", 0.0)
    yield "model.encoder.embed_positions.weight", waves(AUDIO_POSITIONS, width)
    yield from layers("encoder", shape.encoder_layers, ("self_attn",))
    yield from norm("model.encoder.layer_norm")
    name, embedding = matrix("model.decoder.embed_tokens.weight", words.size, width)
    yield name, embedding
    due = embedding[due_tokens(words)]
    yield "model.decoder.embed_positions.weight", due * (LOUDNESS / np.linalg.norm(due, axis=1, keepdims=True))
    yield from layers("decoder", shape.decoder_layers, ("self_attn", "encoder_attn"))
    yield from norm("model.decoder.layer_norm", LAST_NORM)


def waves(positions: int, width: int) -> Any:
    """The encoder's table of positions: sines beside cosines, as Whisper has it."""
    import numpy as np

    rates = np.exp(-np.log(10_000.0) * np.arange(width // 2) / (width // 2 - 1))
    angles = np.arange(positions)[:, None] * rates[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
