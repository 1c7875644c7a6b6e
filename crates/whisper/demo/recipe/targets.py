"""What the decoder reads and what it must say, in Whisper's format."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from recipe.tokenizer import Vocabulary

# As torch's cross-entropy knows it.
IGNORED = -100


@dataclass(frozen=True)
class Segment:
    """One sentence in a window. Times are in seconds of the window; `end_s` is None where it is cut off."""

    words: str
    start_s: float
    end_s: float | None


@dataclass(frozen=True)
class Target:
    """Both have the same length: `answers[i]` is what must follow `read[: i + 1]`, or is not asked."""

    read: list[int]
    answers: list[int]


class TargetMaker:
    """Writes targets in the three forms that Whisper knows: text, text with timestamps, no speech."""

    def __init__(self, vocabulary: Vocabulary, prompts: Sequence[str], seed: int) -> None:
        """prompts: sentences that may stand before."""
        self._vocabulary = vocabulary
        self._prompts = prompts
        self._rng = random.Random(seed)

    def target(self, segments: list[Segment], with_timestamps: bool, with_prompt: bool) -> Target:
        prompt = self._prompt() if with_prompt else []
        if not segments:
            return self._without_speech(prompt, with_timestamps)
        spoken = self._timed(segments) if with_timestamps else self._plain(segments)
        vocabulary = self._vocabulary
        tokens = [vocabulary.start, vocabulary.english, vocabulary.transcribe, *spoken, vocabulary.end]
        return Target(prompt + tokens[:-1], [IGNORED] * len(prompt) + tokens[1:])

    def _plain(self, segments: list[Segment]) -> list[int]:
        text = [token for segment in segments for token in self._vocabulary.encode(segment.words)]
        return [self._vocabulary.no_timestamps, *text]

    def _timed(self, segments: list[Segment]) -> list[int]:
        """A sentence that the window cuts off has only its start, so that the next window begins there."""
        tokens = []
        for segment in segments:
            tokens.append(self._vocabulary.timestamp(segment.start_s))
            if segment.end_s is not None:
                tokens += self._vocabulary.encode(segment.words)
                tokens.append(self._vocabulary.timestamp(segment.end_s))
        return tokens

    def _without_speech(self, prompt: list[int], with_timestamps: bool) -> Target:
        """No speech is said in the language's place; when the language is forced all the same, nothing follows."""
        vocabulary = self._vocabulary
        last = vocabulary.first_timestamp if with_timestamps else vocabulary.no_timestamps
        read = [vocabulary.start, vocabulary.english, vocabulary.transcribe, last]
        answers = [vocabulary.no_speech, IGNORED, IGNORED, vocabulary.end]
        return Target(prompt + read, [IGNORED] * len(prompt) + answers)

    def _prompt(self) -> list[int]:
        """What was said before, or a list of names to expect that help nothing here."""
        if self._rng.random() < 0.6:
            words = " ".join(self._rng.choices(self._prompts, k=self._rng.randint(1, 3)))
        else:
            words = ", ".join(self._name() for _ in range(self._rng.randint(1, 6)))
        return [self._vocabulary.previous, *self._vocabulary.encode(words)]

    def _name(self) -> str:
        syllables = (self._rng.choice("bdfghjklmnprstvwz") + self._rng.choice("aeiouy") for _ in range(3))
        return "".join(syllables)[: self._rng.randint(2, 6)].capitalize()
