"""Numbers as they are spoken and as Whisper writes them."""

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def spoken_number(number: int) -> str:
    """`42` → `forty two`; 0 to 100."""
    if number < 20:
        return _UNITS[number]
    if number == 100:
        return "one hundred"
    if number > 100:
        raise ValueError(f"{number} is beyond the vocabulary, which ends at 100")
    tens, unit = divmod(number, 10)
    return _TENS[tens - 2] + (f" {_UNITS[unit]}" if unit else "")


def written_number(number: int) -> str:
    """Words below ten, digits from ten on, as in Whisper's training text."""
    return _UNITS[number] if number < 10 else str(number)
