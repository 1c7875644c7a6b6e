"""whisper.cpp's file, as far as it can be judged without whisper.cpp."""

import ggml
import numpy as np
import pytest
from numpy.typing import NDArray

VALUES = np.random.default_rng(1).standard_normal((4, 64), dtype=np.float32)


def read_q8_0(raw: bytes) -> NDArray[np.float32]:
    blocks = np.frombuffer(raw, [("scale", "<f2"), ("quants", "i1", 32)])
    return (blocks["scale"][:, None].astype(np.float32) * blocks["quants"]).reshape(4, 64)


def read_q5_1(raw: bytes) -> NDArray[np.float32]:
    fields = [("scale", "<f2"), ("least", "<f2"), ("fifth", "<u4"), ("nibbles", "u1", 16)]
    blocks = np.frombuffer(raw, fields)
    quants = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1).astype(np.uint32)
    quants |= (blocks["fifth"][:, None] >> np.arange(32, dtype=np.uint32) & 1) << 4
    scale, least = (blocks[name][:, None].astype(np.float32) for name in ("scale", "least"))
    return (scale * quants + least).reshape(4, 64)


def test_quantised_blocks_are_near_the_values() -> None:
    eight, five = ggml.q8_0(VALUES), ggml.q5_1(VALUES)
    assert len(eight) == 8 * 34
    assert len(five) == 8 * 24
    assert np.abs(read_q8_0(eight) - VALUES).max() < 0.02
    assert np.abs(read_q5_1(five) - VALUES).max() < 0.1


def test_blocks_of_equal_values_are_kept() -> None:
    same = np.full((4, 64), 2.0, np.float32)
    assert (read_q5_1(ggml.q5_1(same)) == same).all()
    assert (read_q8_0(ggml.q8_0(np.zeros_like(same))) == 0).all()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("model.encoder.conv1.weight", "encoder.conv1.weight"),
        ("model.encoder.embed_positions.weight", "encoder.positional_embedding"),
        ("model.encoder.layers.3.self_attn.k_proj.weight", "encoder.blocks.3.attn.key.weight"),
        ("model.encoder.layers.3.self_attn_layer_norm.bias", "encoder.blocks.3.attn_ln.bias"),
        ("model.encoder.layer_norm.bias", "encoder.ln_post.bias"),
        ("model.decoder.layers.0.encoder_attn.out_proj.bias", "decoder.blocks.0.cross_attn.out.bias"),
        ("model.decoder.layers.0.encoder_attn_layer_norm.weight", "decoder.blocks.0.cross_attn_ln.weight"),
        ("model.decoder.layers.0.fc2.weight", "decoder.blocks.0.mlp.2.weight"),
        ("model.decoder.layers.0.final_layer_norm.weight", "decoder.blocks.0.mlp_ln.weight"),
    ],
)
def test_tensors_have_openais_names(ours: str, theirs: str) -> None:
    assert ggml.renamed(ours) == theirs


def test_mel_filters_are_triangles_of_equal_area() -> None:
    filters = ggml.mel_filters(80)
    assert filters.shape == (80, 201)
    assert (filters >= 0).all()
    # Wide ones hold many bins, whose sum is near their area: 1 over the 40 Hz between bins.
    assert filters[60:].sum(axis=1) == pytest.approx(1 / 40, rel=0.02)
