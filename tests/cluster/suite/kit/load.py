"""Made-up load on fake replicas: a queue for each, and the LoadReport that the operator asks for.

Every fake pod has an address of this network namespace, so one listener answers for all of them and knows by
the address that was asked which replica is meant. Utterances come at a rate that the test sets and go to the
replica with the least outstanding work; a replica works on as many at once as it has slots.
"""

import asyncio
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from kit.api import Api, Object, Unreachable
from kit.objects import instance_labels, is_pod_ready

# Between two steps of the queues.
STEP = 0.02


@dataclass
class Replica:
    """One fake pod."""

    pod: str
    ip: str = ""
    is_ready: bool = False
    # End of each utterance that is being worked on, and the moment at which each waiting one came.
    running: list[float] = field(default_factory=list)
    waiting: deque[float] = field(default_factory=deque)
    accepted: int = 0
    finished: int = 0
    refused: int = 0
    busy_s: float = 0.0
    ready_since: float = 0.0

    @property
    def outstanding(self) -> int:
        """Utterances that wait or run."""
        return len(self.running) + len(self.waiting)


@dataclass(frozen=True)
class Killed:
    """A pod that somebody decided to delete, and what it was doing then."""

    pod: str
    outstanding: int
    was_ready: bool
    at: float


@dataclass(frozen=True)
class Shape:
    """What replicas are like."""

    slots: int = 1
    service_s: float = 0.5
    max_queue: int = 1024


class Load:
    """The load of one object, or of all objects of a namespace."""

    def __init__(self, api: Api, namespace: str, name: str | None, shape: Shape) -> None:
        self.shape = shape
        self.killed: list[Killed] = []
        self.turned_away = 0
        self._api = api
        self._namespace = namespace
        self._labels = instance_labels(name)
        self._rate = 0.0
        self._due = 0.0
        self._silent: set[str] = set()
        self._replicas: dict[str, Replica] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> "Load":
        """Begins to follow the pods and to work."""
        for task in (self._follow, self._work):
            thread = threading.Thread(target=task, name=task.__name__, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        """Ends the threads. The one that follows pods may be in a read; it is a daemon."""
        self._stop.set()
        self._threads[1].join(5)

    def set_rate(self, per_second: float) -> float:
        """From now on so many utterances come in a second. Returns the moment."""
        with self._lock:
            self._rate, self._due = per_second, 0.0
        return time.monotonic()

    def occupy(self, pod: str, seconds: float) -> None:
        """One utterance that takes `seconds`, for this pod."""
        with self._lock:
            replica = self._replicas[pod]
            replica.running.append(time.monotonic() + seconds)
            replica.accepted += 1

    def finish(self, pod: str) -> None:
        """What runs on this pod is over."""
        with self._lock:
            replica = self._replicas[pod]
            replica.running = [time.monotonic() for _ in replica.running]

    def silence(self, pods: set[str]) -> None:
        """These pods do not tell their load."""
        with self._lock:
            self._silent = set(pods)

    def ready(self) -> list[str]:
        """Pods that take utterances, the newest last."""
        with self._lock:
            ready = [replica for replica in self._replicas.values() if replica.is_ready]
            return [replica.pod for replica in sorted(ready, key=lambda replica: replica.ready_since)]

    def outstanding(self) -> int:
        """Utterances that wait or run."""
        with self._lock:
            return sum(replica.outstanding for replica in self._replicas.values())

    def finished(self) -> int:
        """Utterances that were answered by replicas that are there."""
        with self._lock:
            return sum(replica.finished for replica in self._replicas.values())

    def report(self, ip: str) -> Object | None:
        """What the replica at `ip` tells; nothing when it is silent or not there."""
        with self._lock:
            found = [each for each in self._replicas.values() if each.ip == ip and each.pod not in self._silent]
            return self._report(found[0]) if found else None

    def _report(self, replica: Replica) -> Object:
        oldest = time.monotonic() - replica.waiting[0] if replica.waiting else 0.0
        return {
            "ready": replica.is_ready,
            "slots": self.shape.slots,
            "queued": len(replica.waiting),
            "running": len(replica.running),
            "open_streams": 0,
            "oldest_wait_s": oldest,
            "accepted_total": replica.accepted,
            "finished_total": replica.finished,
            "refused_total": replica.refused,
            "busy_s_total": replica.busy_s,
            "model": {"name": "demo", "sha256": "0" * 64, "bytes": 1},
            "device": "cpu",
        }

    def _follow(self) -> None:
        """Keeps the replicas in step with the pods."""
        while not self._stop.is_set():
            try:
                path = f"api/v1/namespaces/{self._namespace}/pods"
                listed = self._api.send("GET", path, query={"labelSelector": self._labels})
                self._replace(listed["items"])
                version = listed["metadata"]["resourceVersion"]
                for event in self._api.watch("Pod", self._namespace, version=version, labels=self._labels):
                    if self._stop.is_set() or event["type"] == "ERROR":
                        break
                    self._see(event["type"], event["object"])
            except Unreachable:
                # A silence ends a watch as well. Look again.
                self._stop.wait(0.2)

    def _replace(self, pods: list[Object]) -> None:
        names = {pod["metadata"]["name"] for pod in pods}
        with self._lock:
            gone = [name for name in self._replicas if name not in names]
            for name in gone:
                self._forget(name)
        for pod in pods:
            self._see("MODIFIED", pod)

    def _see(self, type_: str, pod: Object) -> None:
        name = pod["metadata"]["name"]
        with self._lock:
            if type_ == "DELETED" or "deletionTimestamp" in pod["metadata"]:
                self._forget(name)
                return
            replica = self._replicas.setdefault(name, Replica(name))
            replica.ip = pod.get("status", {}).get("podIP", "")
            if is_pod_ready(pod) and not replica.is_ready:
                replica.ready_since = time.monotonic()
            replica.is_ready = is_pod_ready(pod)

    def _forget(self, name: str) -> None:
        replica = self._replicas.pop(name, None)
        if replica is not None:
            self.killed.append(Killed(name, replica.outstanding, replica.is_ready, time.monotonic()))

    def _work(self) -> None:
        before = time.monotonic()
        while not self._stop.wait(STEP):
            now = time.monotonic()
            with self._lock:
                self._arrive(now, now - before)
                for replica in self._replicas.values():
                    self._advance(replica, now, now - before)
            before = now

    def _arrive(self, now: float, over: float) -> None:
        self._due += self._rate * over
        while self._due >= 1:
            self._due -= 1
            ready = [replica for replica in self._replicas.values() if replica.is_ready]
            if not ready:
                self.turned_away += 1
                continue
            chosen = min(ready, key=lambda replica: replica.outstanding)
            if len(chosen.waiting) >= self.shape.max_queue:
                chosen.refused += 1
            else:
                chosen.accepted += 1
                chosen.waiting.append(now)

    def _advance(self, replica: Replica, now: float, over: float) -> None:
        if replica.running:
            replica.busy_s += over
        still = [end for end in replica.running if end > now]
        replica.finished += len(replica.running) - len(still)
        replica.running = still
        while replica.waiting and len(replica.running) < self.shape.slots:
            replica.waiting.popleft()
            replica.running.append(now + self.shape.service_s)


class Listener:
    """Answers `/load` for all fake pods of all loads, on one port."""

    def __init__(self) -> None:
        self.loads: list[Load] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="listener", daemon=True).start()
        # A round of the operator comes with many connections at once.
        starting = asyncio.start_server(self._answer, "0.0.0.0", 0, backlog=1024)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stops listening."""
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: answers until the peer is done, or closes without a word where a pod is silent."""
        ip = writer.get_extra_info("sockname")[0]
        try:
            while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /load "):
                report = next((told for load in list(self.loads) if (told := load.report(ip))), None)
                if report is None:
                    break
                body = json.dumps(report).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
