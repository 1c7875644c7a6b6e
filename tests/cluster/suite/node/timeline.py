"""What pods went through while something else was looked at: it tells why an utterance was lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from kit.api import Object, Refused, Unreachable
from kit.objects import is_pod_ready

EVERY = 0.2


def now() -> str:
    """The time of day, to the millisecond, as the cluster's own logs have it."""
    return datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]


def state(pod: Object) -> str:
    """A pod in a few words: its address, whether it is ready, how often it began anew, whether it is told to end."""
    containers = pod["status"].get("containerStatuses", [])
    running = [f"{next(iter(each['state']), '?')}, {each['restartCount']} restarts" for each in containers]
    return " ".join(
        [
            pod["metadata"]["name"],
            pod["status"].get("podIP", "no address"),
            "ready" if is_pod_ready(pod) else "unready",
            *running,
            *(["ending"] if "deletionTimestamp" in pod["metadata"] else []),
        ]
    )


@contextmanager
def timeline(pods: Callable[[], list[Object]]) -> Iterator[list[str]]:
    """While inside, the list grows by a line for each change of a pod."""
    lines: list[str] = []
    over = threading.Event()

    def watch() -> None:
        seen: set[str] = set()
        while not over.wait(EVERY):
            try:
                states = {state(pod) for pod in pods()}
            except (Refused, Unreachable) as problem:
                states = {str(problem)}
            lines.extend(f"{now()} {each}" for each in sorted(states - seen))
            seen = states

    thread = threading.Thread(target=watch, name="timeline")
    thread.start()
    try:
        yield lines
    finally:
        over.set()
        thread.join()
