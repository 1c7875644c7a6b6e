"""How many replicas were ordered, and when."""

import threading
import time

from kit.api import Api, Refused, Unreachable
from kit.waiting import eventually

EVERY = 0.1


class Orders:
    """Follows a Deployment's replicas in the background."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name
        # Moment and number of each order that differed from the one before.
        self.changes: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="orders", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join(5)

    def _follow(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                replicas = self._api.get("Deployment", self._name, self._namespace)["spec"]["replicas"]
            except (Refused, Unreachable):
                continue
            if replicas != self.now():
                self.changes.append((time.monotonic(), replicas))

    def now(self) -> int:
        """The last order; 0 before the first."""
        return self.changes[-1][1] if self.changes else 0

    def since(self, moment: float) -> list[tuple[float, int]]:
        """Changes after a moment, with the seconds since then."""
        return [(round(at - moment, 1), replicas) for at, replicas in self.changes if at > moment]

    def peak(self, since: float) -> int:
        """The largest order from a moment on."""
        before = [replicas for at, replicas in self.changes if at <= since][-1:]
        return max(before + [replicas for at, replicas in self.changes if at > since], default=0)

    def reach(self, least: int, most: int | None = None, *, within: float) -> int:
        """Waits for an order between these two."""
        most = least if most is None else most

        def look() -> int:
            assert least <= self.now() <= most, f"{self.now()} are ordered; so far {self._story()}; {self._reason()}"
            return self.now()

        return eventually(f"{least} to {most} replicas are ordered", look, within=within)

    def _reason(self) -> str:
        """What the operator tells of its order."""
        found = self._api.find("WyomingStt", self._name, self._namespace) or {}
        return str(found.get("status", {}).get("autoscaling"))

    def _story(self) -> list[tuple[float, int]]:
        return self.since(self.changes[0][0] - 1) if self.changes else []
