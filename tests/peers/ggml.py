"""Writes a checkpoint as whisper.cpp reads it: one file, weights in f16 or quantised in blocks of 32.

The layout is that of whisper.cpp's own converter and of ggml's block types.

    magic · shape · mel filters · text tokens · for each tensor: dimensions, type, name, values
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from vocabulary import byte_characters

MAGIC = 0x67676D6C
BLOCK = 32
# Version of the quantised types, in thousands of the file's type.
QUANTISED = 2_000

# Parts of names as Hugging Face has them and as OpenAI, and so whisper.cpp, has them; the first that fits counts.
RENAMED = (
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("encoder_attn.", "cross_attn."),
    ("self_attn.", "attn."),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
)
PROJECTIONS = (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "out"))
OUTSIDE_OF_LAYERS = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "encoder.layer_norm.weight": "encoder.ln_post.weight",
    "encoder.layer_norm.bias": "encoder.ln_post.bias",
    "decoder.layer_norm.weight": "decoder.ln.weight",
    "decoder.layer_norm.bias": "decoder.ln.bias",
}


@dataclass(frozen=True)
class Type:
    """How matrices are stored."""

    # The file's type, and the tensors'.
    file: int
    tensor: int
    encode: Callable[[Any], bytes]


def f32(values: Any) -> bytes:
    """As they are."""
    return values.astype("<f4").tobytes()


def f16(values: Any) -> bytes:
    """In half precision."""
    return values.astype("<f2").tobytes()


def q8_0(values: Any) -> bytes:
    """Blocks of one scale and 32 signed bytes."""
    blocks = values.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    quants = np.rint(blocks * inverse(scale)).astype("i1")
    return pack(len(blocks), ("scale", "<f2", scale), ("quants", "i1", quants))


def q5_1(values: Any) -> bytes:
    """Blocks of a scale, a minimum, and 32 numbers of five bits: the fifth ones of all, then four of two in a byte."""
    blocks = values.reshape(-1, BLOCK)
    least = blocks.min(axis=1, keepdims=True)
    scale = (blocks.max(axis=1, keepdims=True) - least) / 31
    quants = np.clip(np.rint((blocks - least) * inverse(scale)), 0, 31).astype("u1")
    low, half = quants & 15, BLOCK // 2
    nibbles = low[:, :half] | (low[:, half:] << 4)
    fifth = np.packbits(quants >> 4, axis=1, bitorder="little")
    return pack(
        len(blocks), ("scale", "<f2", scale), ("least", "<f2", least), ("fifth", "u1", fifth), ("nibbles", "u1", nibbles)
    )


def inverse(scale: Any) -> Any:
    """Blocks of equal values have no scale."""
    return np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)


def pack(count: int, *fields: tuple[str, str, Any]) -> bytes:
    """Fields side by side in each block."""
    blocks = np.empty(count, [(name, kind, values.shape[1:]) for name, kind, values in fields])
    for name, _, values in fields:
        blocks[name] = values
    return blocks.tobytes()


TYPES = {
    "f16": Type(1, 1, f16),
    "q8_0": Type(QUANTISED + 7, 8, q8_0),
    "q5_1": Type(QUANTISED + 9, 7, q5_1),
}


def renamed(name: str) -> str:
    """`model.encoder.layers.0.fc1.weight` → `encoder.blocks.0.mlp.0.weight`."""
    name = name.removeprefix("model.")
    if name in OUTSIDE_OF_LAYERS:
        return OUTSIDE_OF_LAYERS[name]
    name = name.replace(".layers.", ".blocks.")
    for old, new in RENAMED:
        if old in name:
            name = name.replace(old, new)
            break
    for old, new in PROJECTIONS:
        name = name.replace(old, new)
    return name


def mel_filters(mels: int, bins: int = 201, rate_hz: float = 16_000.0) -> Any:
    """`(mels, bins)`: triangles of equal area between neighbouring points of Slaney's scale."""
    # Slaney's scale: linear up to 1 kHz, logarithmic above.
    linear_hz, knee, step = 200 / 3, 15.0, np.log(6.4) / 27
    top = knee + np.log(rate_hz / 2 / 1000.0) / step
    points = np.linspace(0.0, top, mels + 2)
    hz = np.where(points < knee, points * linear_hz, 1000.0 * np.exp((points - knee) * step))
    frequencies = np.linspace(0.0, rate_hz / 2, bins)
    rising = (frequencies - hz[:-2, None]) / np.diff(hz)[:-1, None]
    falling = (hz[2:, None] - frequencies) / np.diff(hz)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return triangles * (2.0 / (hz[2:] - hz[:-2]))[:, None]


def write(checkpoint: Path, path: Path, kind: str) -> None:
    """Converts the checkpoint in a folder, unless that was done."""
    if path.exists():
        return
    from safetensors.numpy import load_file

    config = json.loads((checkpoint / "config.json").read_text())
    tokens = json.loads((checkpoint / "vocab.json").read_text())
    chosen = TYPES[kind]
    unfinished = path.with_suffix(".unfinished")
    path.parent.mkdir(parents=True, exist_ok=True)
    with unfinished.open("wb") as file:
        file.write(head(config, chosen.file))
        filters = mel_filters(config["num_mel_bins"])
        file.write(struct.pack("<2i", *filters.shape) + f32(filters))
        file.write(vocabulary(tokens))
        for name, values in load_file(checkpoint / "model.safetensors").items():
            file.write(tensor(renamed(name), values, chosen))
    unfinished.rename(path)


def head(config: dict[str, int], file_type: int) -> bytes:
    """The magic and the shape."""
    numbers = (
        MAGIC,
        config["vocab_size"],
        config["max_source_positions"],
        config["d_model"],
        config["encoder_attention_heads"],
        config["encoder_layers"],
        config["max_target_positions"],
        config["d_model"],
        config["decoder_attention_heads"],
        config["decoder_layers"],
        config["num_mel_bins"],
        file_type,
    )
    return struct.pack(f"<{len(numbers)}i", *numbers)


def vocabulary(tokens: dict[str, int]) -> bytes:
    """The bytes of every text token; whisper.cpp knows the special ones by their place."""
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    parts = [struct.pack("<i", len(tokens))]
    for text in sorted(tokens, key=tokens.__getitem__):
        raw = bytes(byte_of[character] for character in text)
        parts.append(struct.pack("<i", len(raw)) + raw)
    return b"".join(parts)


def tensor(name: str, values: Any, matrices: Type) -> bytes:
    """One tensor. Vectors and tables of positions stay in f32, convolutions are in f16."""
    if name.endswith(("conv1.bias", "conv2.bias")):
        values = values.reshape(-1, 1)
        stored = Type(0, 0, f32)
    elif values.ndim == 1 or name.endswith("positional_embedding"):
        stored = Type(0, 0, f32)
    elif values.ndim == 3:
        stored = TYPES["f16"]
    else:
        stored = matrices
    raw = name.encode()
    numbers = (values.ndim, len(raw), stored.tensor, *reversed(values.shape))
    return struct.pack(f"<{len(numbers)}i", *numbers) + raw + stored.encode(values)
