"""Waiting with a limit, saying what was waited for and what was seen."""

import time
from collections.abc import Callable
from typing import TypeVar

from kit.api import Refused, Unreachable

T = TypeVar("T")
# Limits are what an idle machine needs with room to spare. One that does other work gets this many times as long:
# how fast something has to be is asserted where it matters.
SLACK = 4


def eventually(what: str, look: Callable[[], T], *, within: float, every: float = 0.2) -> T:
    """What `look` returns, once its assertions hold; objects may be missing and the server away until then.

    Fails after `SLACK` times `within` seconds.
    """
    limit = SLACK * within
    deadline = time.monotonic() + limit
    while True:
        try:
            return look()
        except (AssertionError, Refused, Unreachable) as error:
            seen = str(error).strip() or repr(error)
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not so after {limit} s. Seen last: {seen}")
        time.sleep(every)


def stays(what: str, look: Callable[[], T], *, during: float, every: float = 0.25) -> T:
    """What `look` returns at the end, its assertions having held all the time."""
    begun = time.monotonic()
    while True:
        try:
            seen = look()
        except (AssertionError, Refused, Unreachable) as error:
            raise AssertionError(f"{what}: not so any more after {time.monotonic() - begun:.1f} s: {error}") from error
        if time.monotonic() > begun + during:
            return seen
        time.sleep(every)
