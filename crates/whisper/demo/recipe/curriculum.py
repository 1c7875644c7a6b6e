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
    # Of the learning rate: for the model, and for the phoneme head.
    rate: float
    head_rate: float
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


def stage_at(clips: int, passed: float, is_going_on: bool = False) -> Stage:
    """clips: heard so far; passed: 0 at the start of the training time, 1 at its end.

    is_going_on: the model was trained before, and only its phoneme head is new.
    """
    return _stage_going_on(clips, passed) if is_going_on else _stage_from_nothing(clips, passed)


def _stage_from_nothing(clips: int, passed: float) -> Stage:
    """Alignment between sound and text is found first, on short clean clips.

    A model that starts with the whole mixture does not find it within an hour.
    """
    rate = _rate(clips, passed)
    if clips > _WHOLE_FROM or passed > _WHOLE_FROM_TIME:
        return _whole_mixture(rate, head_rate=rate)
    is_first, is_joining = clips < _SHORT_UNTIL, clips > _JOINED_FROM
    return Stage(
        longest_clip_s=1.0 if clips < _SHORTEST_UNTIL else 1.35 if is_first else None,
        augmentation=min(1.0, clips / _RAMP_UNTIL),
        rate=rate,
        head_rate=rate,
        joined=0.15 if is_joining else 0.0,
        most_joined=2,
        full_window=0.0,
        timestamps=0.0 if is_first else 0.08,
        prompts=0.0 if is_first else 0.08,
        empty=0.03 if is_first else 0.06,
        widest_margin=8 if is_first else 250 if is_joining else 60,
    )


def _stage_going_on(clips: int, passed: float) -> Stage:
    """The whole mixture at once.

    The phoneme head learns at the full rate from the first batch, the model almost nothing until that head
    can tell it something: the gradients of an untrained head would spoil the encoder.
    """
    risen = min(1.0, clips / _WARM_UP) ** 2
    fallen = _fallen(passed)
    return _whole_mixture(rate=max(_LAST_RATE * min(1.0, clips / _WARM_UP), risen * fallen), head_rate=fallen)


def _whole_mixture(rate: float, head_rate: float) -> Stage:
    """What a model must be able to do in the end.

    Sentences in a row are what it learns last and worst, so that most of the sound is of that kind.
    """
    return Stage(
        longest_clip_s=None,
        augmentation=1.0,
        rate=rate,
        head_rate=head_rate,
        joined=0.5,
        most_joined=4,
        full_window=0.06,
        timestamps=0.35,
        prompts=0.08,
        empty=0.06,
        widest_margin=250,
    )


def _rate(clips: int, passed: float) -> float:
    """Rises, stays, and falls by a cosine until the time is over."""
    risen = min(1.0, max(clips, 100) / _WARM_UP)
    return max(_LAST_RATE, risen * _fallen(max(0.0, passed - _FLAT_UNTIL) / (1 - _FLAT_UNTIL)))


def _fallen(part: float) -> float:
    """Half a cosine from 1 to the last rate."""
    return max(_LAST_RATE, 0.5 * (1 + math.cos(math.pi * part)))
