"""How far two transcripts are from each other, in words."""

import re

SPELLED = {"mr": "mister", "oz": "ounce", "ounces": "ounce", "8": "eight", "10": "ten", "12": "twelve", "16": "sixteen", "20": "twenty"}
DIGITS = dict(zip("0123456789", "zero one two three four five six seven eight nine".split()))


def normal(text):
    """Words in lower case, without punctuation; numbers as they are spoken, where that can be told."""
    words = re.sub(r"[^\w' ]", "", text.lower().replace("-", " ")).split()
    found = []
    for word in words:
        if word in SPELLED:
            found.append(SPELLED[word])
        elif word.isdecimal() and word.isascii():
            found += [DIGITS[digit] for digit in word]
        else:
            found.append(word)
    return found


def distance(expected, found):
    """Words that have to be put in, taken out or changed."""
    row = list(range(len(found) + 1))
    for i, one in enumerate(expected, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (one != other))
    return row[-1]


class Errors:
    """Word errors, added up over several transcripts."""

    def __init__(self):
        self.errors = self.words = self.same = self.texts = 0

    def add(self, expected, found):
        expected, found = normal(expected), normal(found)
        wrong = distance(expected, found)
        self.errors += wrong
        self.words += len(expected)
        self.same += wrong == 0
        self.texts += 1

    @property
    def share(self):
        return self.errors / max(1, self.words)

    def __str__(self):
        return f"{self.errors} of {self.words} words wrong ({100 * self.share:.2f} %), {self.same} of {self.texts} texts the same"
