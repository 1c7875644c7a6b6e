"""The text stage: which sentences are trained on, and which never are."""

import random
from pathlib import Path

from recipe.grammar import sentence

# Fixed once, so that every model is measured on the same sentences, and no model was trained on them.
# The first half is spoken by voices of the training, the second by voices that it never hears.
HELD_OUT_FILE = Path(__file__).with_name("held_out.txt")


def held_out_sentences() -> list[str]:
    """400 sentences of at least four words that the training must not contain."""
    return HELD_OUT_FILE.read_text().splitlines()


def training_sentences(count: int, seed: int = 1) -> list[str]:
    """`count` sentences without the held-out ones; long ones seldom repeat, short ones may."""
    rng = random.Random(seed)
    held_out = set(held_out_sentences())
    seen: set[str] = set()
    chosen: list[str] = []
    while len(chosen) < count:
        candidate = sentence(rng)
        is_repeated = candidate in seen and len(candidate.split()) > 3
        if candidate in held_out or (is_repeated and rng.random() < 0.7):
            continue
        seen.add(candidate)
        chosen.append(candidate)
    return chosen
