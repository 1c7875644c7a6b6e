"""How a written sentence is spoken, in words and in phonemes."""

import json
import random
import re
import subprocess
from pathlib import Path

from recipe.grammar import sentence
from recipe.numerals import spoken_number


def spoken_text(written: str) -> str:
    """The sentence with every number in words; punctuation stays, for the voices' melody.

    `Dim the lamp to 40%.` → `Dim the lamp to forty percent.`
    """
    text = written.replace("%", " percent").replace("a.m.", "a m").replace("p.m.", "p m")
    text = re.sub(r"(\d+):(\d\d)", _spoken_time, text)
    text = re.sub(r"\d+", lambda digits: spoken_number(int(digits[0])), text)
    return text if text[-1] in ".?" else text + "."


def spoken_words(written: str) -> list[str]:
    """The words that are heard, in lower case and without punctuation."""
    return re.sub(r"[^a-z' -]", " ", spoken_text(written).lower()).split()


class Phonemes:
    """Phoneme classes of every word of the grammar."""

    def __init__(self, of_word: dict[str, list[int]], count: int) -> None:
        self.of_word = of_word
        self.count = count

    @classmethod
    def from_espeak(cls) -> "Phonemes":
        """Asks espeak-ng word by word; some seconds."""
        spelled = {word: _espeak_phonemes(word) for word in sorted(grammar_words())}
        names = sorted({name for phonemes in spelled.values() for name in phonemes})
        class_of = {name: index for index, name in enumerate(names)}
        return cls({word: [class_of[name] for name in phonemes] for word, phonemes in spelled.items()}, len(names))

    @classmethod
    def load(cls, path: Path) -> "Phonemes":
        stored = json.loads(path.read_text())
        return cls(stored["words"], stored["count"])

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"count": self.count, "words": self.of_word}))

    def of_sentence(self, written: str) -> list[int]:
        return [phoneme for word in spoken_words(written) for phoneme in self.of_word[word]]


def grammar_words() -> set[str]:
    """Every word that the grammar can say, found by letting it talk."""
    rng = random.Random(3)
    # 60 000 sentences use every template filler some dozens of times.
    return {word for _ in range(60_000) for word in spoken_words(sentence(rng))}


def _spoken_time(clock: re.Match[str]) -> str:
    hour, minute = int(clock[1]), int(clock[2])
    return f"{spoken_number(hour)} {'oh ' if minute < 10 else ''}{spoken_number(minute)}"


def _espeak_phonemes(word: str) -> list[str]:
    command = ["espeak-ng", "-q", "-x", "--sep=_", "-v", "en-us", word]
    spelled = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Stress, pauses and morpheme marks are not phonemes.
    names = (re.sub(r"[',%|=]", "", name) for name in re.split(r"[_\s]+", spelled))
    return [name for name in names if name]
