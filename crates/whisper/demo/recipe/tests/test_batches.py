from pathlib import Path

import numpy as np
import pytest
import torch

from recipe.bank import Bank, ShardWriter
from recipe.batches import BatchMaker, Share
from recipe.curriculum import stage_at
from recipe.pronounce import Phonemes, spoken_words
from recipe.tokenizer import Vocabulary

VOCABULARY = Vocabulary(Path(__file__).parents[2] / "model" / "tokenizer.json")
WORDS = ["Turn on the lamp.", "Is the gate open?", "Stop."]


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    rng = np.random.default_rng(1)
    writer = ShardWriter(tmp_path, "part")
    for index in range(60):
        samples = rng.integers(-9_000, 9_000, rng.integers(8_000, 40_000)).astype("<i2")
        writer.add(samples, WORDS[index % 3], "nobody")
    writer.finish()
    return Bank(tmp_path)


def maker(bank: Bank, worker: int) -> BatchMaker:
    words = {word for sentence in WORDS for word in spoken_words(sentence)}
    phonemes = Phonemes({word: [index] for index, word in enumerate(sorted(words))}, len(words))
    return BatchMaker(bank, VOCABULARY, phonemes, Share(size=8, worker=worker, workers=2, seed=1))


def test_workers_agree_on_the_size_of_every_batch(bank: Bank):
    makers = [maker(bank, worker) for worker in range(2)]
    for clips in range(0, 200_000, 4_000):
        stage = stage_at(clips, clips / 200_000, is_going_on=clips % 8_000 == 0)
        first, second = (each.batch(stage) for each in makers)
        assert len(first.mel) == len(second.mel)
        for batch in (first, second):
            assert torch.isfinite(batch.mel).all()
            assert batch.mel.shape[1:] == (80, batch.mel.shape[2])
            assert batch.mel.shape[2] <= 3_000
            assert batch.read.shape == batch.answers.shape
            assert batch.read.shape[0] == len(batch.mel) == len(batch.phonemes)


def test_unfinished_shard_is_not_read(bank: Bank, tmp_path: Path):
    ShardWriter(tmp_path, "unfinished").add(np.zeros(9, "<i2"), "Stop.", "nobody")
    assert len(Bank(tmp_path).clips) == len(bank.clips)
