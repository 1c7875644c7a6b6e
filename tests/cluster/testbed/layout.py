"""Where the files of a cluster are, and which process it is."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Inside the namespaces nothing else lives, so addresses and ports need not differ from cluster to cluster.
NODE_ADDRESS = "10.200.0.1"
NODE_NETWORK = "10.200.0.0/24"
SERVICE_NETWORK = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
POD_NETWORK = "10.244.0.0/24"
# Addresses of kwok's pods. All of them are the cluster's own, so one listener there answers for every pod.
FAKE_POD_NETWORK = "10.128.0.0/16"
API_PORT = 6443
NODE_NAME = "node-1"

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


class ClusterError(Exception):
    """Something that the caller has to be told, in one sentence."""


def root() -> Path:
    """Run folders of all clusters. Not below XDG_RUNTIME_DIR: that is memory, and images are large."""
    return Path(os.environ.get("STT_CLUSTER_RUN") or "/tmp/wyoming-stt-cluster").absolute()


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int | str) -> str | None:
    """When a process started, in clock ticks since boot; None when there is none or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in brackets and may hold anything.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


@dataclass(frozen=True)
class Cluster:
    """One cluster, up or not."""

    name: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ClusterError(
                f"{self.name!r} is no name for a cluster: use at most 30 of a-z, 0-9 and '-', not '-' at an end"
            )

    @property
    def run(self) -> Path:
        return root() / self.name

    @property
    def record(self) -> Path:
        return self.run / "supervisor.json"

    @property
    def control(self) -> Path:
        return self.run / "control.sock"

    @property
    def kubeconfig(self) -> Path:
        """For programs outside of the network namespace."""
        return self.run / "kubeconfig"

    @property
    def inside_kubeconfig(self) -> Path:
        return self.run / "pki" / "admin.kubeconfig"

    def log(self, component: str) -> Path:
        return self.run / "log" / f"{component}.log"

    def details(self) -> dict[str, Any]:
        """What the supervisor wrote about itself."""
        try:
            found: dict[str, Any] = json.loads(self.record.read_text())
            return found
        except FileNotFoundError:
            return {}

    def supervisor(self) -> int | None:
        """The id of the first process of its namespaces while it lives. A reused id is not mistaken for it."""
        record = self.details()
        if record.get("boot") != boot_id() or start_time(record["pid"]) != record["started"]:
            return None
        return int(record["pid"])

    def need_supervisor(self) -> int:
        pid = self.supervisor()
        if pid is None:
            raise ClusterError(f"cluster {self.name} is not up; start it with: tests/cluster/up {self.name}")
        return pid


def existing() -> list[Cluster]:
    if not root().is_dir():
        return []
    return [Cluster(entry.name) for entry in sorted(root().iterdir()) if entry.is_dir() and NAME.fullmatch(entry.name)]
