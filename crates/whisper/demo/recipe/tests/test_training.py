"""The training itself, with little of everything, on sounds that mean nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recipe import checkpoint, export, training
from recipe.bank import ShardWriter
from recipe.checkpoint import OtherTraining
from recipe.model import Shape, Whisper
from recipe.pronounce import Phonemes
from recipe.training import TrainingPlan

TOKENIZER = Path(__file__).parents[2] / "model" / "tokenizer.json"
TOKENS = 2_278


@pytest.fixture
def plan(tmp_path: Path) -> TrainingPlan:
    rng = np.random.default_rng(1)
    writer = ShardWriter(tmp_path, "part")
    for _ in range(150):
        writer.add(rng.integers(-9_000, 9_000, rng.integers(8_000, 15_000)).astype("<i2"), "Stop.", "nobody")
    writer.finish()
    Phonemes({"stop": [0, 1]}, 2).save(tmp_path / "phonemes.json")
    return TrainingPlan(
        bank=tmp_path,
        held_out=tmp_path,
        tokenizer=TOKENIZER,
        phonemes=tmp_path / "phonemes.json",
        checkpoint=tmp_path / "checkpoint.pt",
        log=tmp_path / "log.txt",
        minutes=0.02,
        batch=8,
        workers=2,
    )


def test_training_goes_on_with_an_exported_model(plan: TrainingPlan, tmp_path: Path):
    torch.manual_seed(3)
    begin_with = tmp_path / "small"
    small = Whisper(Shape(tokens=TOKENS, decoder_layers=1))
    export.export(small.shape, small.state_dict(), TOKENIZER, begin_with)
    training.train(replace(plan, begin_with=begin_with))
    shape, weights = checkpoint.averaged_model(plan.checkpoint)
    assert shape == Shape(tokens=TOKENS)
    assert weights.keys() == Whisper(shape).state_dict().keys()
    # The first updates leave the model nearly as it was: another one would be off by a tenth and more.
    name = "encoder.layers.0.fc1.weight"
    assert 0 < (weights[name] - small.state_dict()[name]).abs().max() < 0.01


def test_checkpoint_of_another_beginning_is_refused(plan: TrainingPlan, tmp_path: Path):
    training.train(plan)
    minutes = checkpoint.minutes_trained(plan.checkpoint)
    assert minutes >= plan.minutes
    (tmp_path / "model.safetensors").write_bytes(json.dumps("other weights").encode())
    with pytest.raises(OtherTraining, match="began with other weights"):
        training.train(replace(plan, begin_with=tmp_path))
    # A finished one is not trained again.
    training.train(plan)
    assert checkpoint.minutes_trained(plan.checkpoint) == minutes
