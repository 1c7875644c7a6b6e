"""Fake nodes, kept alive by kwok: the real scheduler places pods on them."""

import uuid

from kit.api import Api, Object
from kit.objects import condition
from kit.waiting import eventually

GPU = "nvidia.com/gpu"


class Nodes:
    """A pool of nodes that only pods of one test go to."""

    def __init__(self, api: Api, count: int, *, gpus: int = 1) -> None:
        self._api = api
        self._gpus = gpus
        self.pool = f"pool-{uuid.uuid4().hex[:8]}"
        self.names: list[str] = []
        self.add(count)

    def add(self, count: int) -> None:
        """Adds nodes and waits until they are ready."""
        first = len(self.names)
        new = [f"{self.pool}-{index:03}" for index in range(first, first + count)]
        for name in new:
            self._api.create(self._node(name))
        self.names += new
        eventually(f"{count} fake nodes are ready", self._assert_ready, within=60)

    def _assert_ready(self) -> None:
        nodes = self._api.list("Node", labels=f"pool={self.pool}")
        ready = [node for node in nodes if condition(node, "Ready")["status"] == "True"]
        assert len(ready) == len(self.names), f"{len(ready)} of {len(self.names)}"

    def placement(self) -> Object:
        """What a spec says to be placed here."""
        tolerations = [
            {"key": "pool", "operator": "Equal", "value": self.pool, "effect": "NoSchedule"},
            {"key": GPU, "operator": "Exists", "effect": "NoSchedule"},
        ]
        return {"nodeSelector": {"pool": self.pool}, "tolerations": tolerations}

    def fail(self, names: list[str]) -> None:
        """These nodes are lost: their pods are evicted, and the nodes vanish."""
        for name in names:
            lost = {"spec": {"unschedulable": True, "taints": [{"key": "lost", "effect": "NoExecute"}]}}
            self._api.patch("Node", name, None, lost)
        for name in names:
            self._api.delete("Node", name)
        self.names = [name for name in self.names if name not in names]

    def remove(self) -> None:
        """Takes all of them away."""
        for name in self.names:
            self._api.delete("Node", name)

    def _node(self, name: str) -> Object:
        taints = [{"key": "pool", "value": self.pool, "effect": "NoSchedule"}]
        capacity = {"cpu": "64", "memory": "512Gi", "pods": "200", "ephemeral-storage": "1Ti"}
        if self._gpus:
            taints.append({"key": GPU, "value": "present", "effect": "NoSchedule"})
            capacity[GPU] = str(self._gpus)
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
                "labels": {
                    "pool": self.pool,
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/arch": "amd64",
                    "kubernetes.io/os": "linux",
                    "nvidia.com/gpu.product": "NVIDIA-L4",
                    "nvidia.com/gpu.present": str(bool(self._gpus)).lower(),
                },
            },
            "spec": {"taints": taints},
            "status": {"allocatable": capacity, "capacity": capacity},
        }
