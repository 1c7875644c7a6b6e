"""What is taught when: what the model is ready for depends on what it has heard, the rate on the time left."""

import math
from dataclasses import dataclass

# Clips. The numbers are for some 400 000 in all.
_WARM_UP = 10_000
_SHORTEST_UNTIL = 12_000
_SHORT_UNTIL = 25_000
_RAMP_UNTIL = 50_000
_JOINED_FROM = 70_000
_WHOLE_FROM = 110_000

# Shares of the training time.
_FLAT_UNTIL = 0.3
# However slow the machine is, this much of the time is for the whole mixture.
_WHOLE_FROM_TIME = 0.45
_LAST_RATE = 0.02


@dataclass(frozen=True)
class Stage:
    """The mixture of the batches at one moment. Shares are of all batches, or of the clips within."""

    # None: any length.
    longest_clip_s: float | None
    # 0 clean, 1 as disturbed as it gets.
    augmentation: float
    # Of the learning rate.
    rate: float
    # Batches of sentences in a row, and at most how many in a row.
    joined: float
    most_joined: int
    # Batches in a window of 30 s.
    full_window: float
    # Clips with timestamps, with a previous text, and without speech.
    timestamps: float
    prompts: float
    empty: float
    # Positions of silence that may lie behind the longest clip.
    widest_margin: int


def stage_at(clips: int, passed: float) -> Stage:
    """clips: heard so far; passed: 0 at the start of the training time, 1 at its end.

    Alignment between sound and text is found first, on short clean clips; a model that starts with the
    whole mixture does not find it within an hour.
    """
    is_first = clips < _SHORT_UNTIL
    is_whole = clips > _WHOLE_FROM or passed > _WHOLE_FROM_TIME
    is_joining = clips > _JOINED_FROM or is_whole
    return Stage(
        longest_clip_s=1.0 if clips < _SHORTEST_UNTIL else 1.35 if is_first else None,
        augmentation=min(1.0, clips / _RAMP_UNTIL),
        rate=_rate(clips, passed),
        joined=0.38 if is_whole else 0.15 if is_joining else 0.0,
        most_joined=4 if is_whole else 2,
        full_window=0.04 if is_whole else 0.0,
        timestamps=0.0 if is_first else 0.3 if is_whole else 0.08,
        prompts=0.0 if is_first else 0.08,
        empty=0.03 if is_first else 0.06,
        widest_margin=8 if is_first else 250 if is_joining else 60,
    )


def _rate(clips: int, passed: float) -> float:
    """Rises, stays, and falls by a cosine until the time is over."""
    risen = min(1.0, max(clips, 100) / _WARM_UP)
    fall = max(0.0, passed - _FLAT_UNTIL) / (1 - _FLAT_UNTIL)
    return max(_LAST_RATE, risen * 0.5 * (1 + math.cos(math.pi * fall)))
