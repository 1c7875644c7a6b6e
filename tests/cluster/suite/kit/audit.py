"""What the API server wrote down about requests."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Request:
    """One request that was answered."""

    user: str
    credential: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    at: str

    @property
    def is_lease(self) -> bool:
        """Whether it is about who leads, which is asked and told all the time."""
        return self.resource == "leases"

    @property
    def is_write(self) -> bool:
        """Whether it changes something, who leads apart."""
        return self.verb in WRITES and not self.is_lease


class Audit:
    """The server's log, read from where it was when this was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size

    def requests(self, user: str) -> list[Request]:
        """All requests of `user` since then, in the order of their answers."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            lines = log.read().splitlines()
        # A line may be half written.
        return [request for request in map(_request, lines) if request is not None and request.user == user]

    def writes(self, user: str) -> list[Request]:
        """Those that change something."""
        return [request for request in self.requests(user) if request.is_write]


def tally(requests: Iterable[Request]) -> dict[str, int]:
    """How many of which, such as `patch wyomingstts/status`."""
    return dict(Counter(f"{request.verb} {request.resource}" for request in requests))


def _request(line: bytes) -> Request | None:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    if event.get("stage") != "ResponseComplete":
        return None
    target = event.get("objectRef", {})
    parts = [target.get("resource", ""), target.get("subresource", "")]
    extra = event["user"].get("extra", {})
    return Request(
        user=event["user"].get("username", ""),
        credential=extra.get("authentication.kubernetes.io/credential-id", [""])[0],
        verb=event["verb"],
        resource="/".join(part for part in parts if part),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        at=event["requestReceivedTimestamp"],
    )
