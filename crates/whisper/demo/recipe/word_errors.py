"""Word errors, counted as speech recognition does: without capitals and punctuation."""

import re
from collections.abc import Iterable


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Per cent of the words of (said, heard) pairs that were replaced, left out or invented."""
    errors = words = 0
    for said, heard in pairs:
        reference = _plain_words(said)
        errors += _edits(reference, _plain_words(heard))
        words += len(reference)
    return 100 * errors / words


def exact_share(pairs: Iterable[tuple[str, str]]) -> float:
    """Per cent of the pairs that agree in every character."""
    is_equal = [said == heard for said, heard in pairs]
    return 100 * sum(is_equal) / len(is_equal)


def _plain_words(text: str) -> list[str]:
    text = text.lower().replace("%", " percent").replace("a.m.", "am").replace("p.m.", "pm")
    return re.sub(r"[^a-z0-9:' ]", " ", text).split()


def _edits(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein's distance."""
    row = list(range(len(hypothesis) + 1))
    for index, said in enumerate(reference, start=1):
        diagonal, row[0] = row[0], index
        for column, heard in enumerate(hypothesis, start=1):
            replaced = diagonal + (said != heard)
            diagonal = row[column]
            row[column] = min(replaced, row[column] + 1, row[column - 1] + 1)
    return row[-1]
