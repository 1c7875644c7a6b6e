"""What tests of the autoscaler share: an object on fake GPUs with short windows, and ways to look at it."""

from dataclasses import dataclass
from typing import Any

from kit.api import Api, Object
from kit.load import Load
from kit.nodes import Nodes
from kit.objects import assert_condition, stt
from kit.orders import Orders
from kit.waiting import eventually

NAME = "speech"
# How often the operator asks for the load.
PERIOD = 5.0
# Windows and steps for a test: seconds instead of minutes.
UP = {"maxReplicasPerStep": 100, "stepSeconds": 1}
DOWN = {"stabilizationSeconds": 15, "maxPercentPerStep": 50, "stepSeconds": 5}


def gpu_fleet(
    namespace: str, nodes: Nodes, port: int, *, slots: int = 1, delay_s: float = 0, **autoscaling: Any
) -> Object:
    """An object with one GPU for each replica. Pods tell their load at `port`, and become ready after `delay_s`."""
    annotations = {"pod-ready.stage.kwok.x-k8s.io/delay": f"{delay_s}s"} if delay_s else {}
    return stt(
        namespace,
        NAME,
        device={"type": "Cuda"},
        telemetry={"adminPort": port},
        capacity={"maxConcurrent": slots, "maxQueue": 1024, "queueTimeoutSeconds": 5},
        # Pods that are deleted keep their GPU until the end of this.
        lifecycle={"terminationGracePeriodSeconds": 20},
        podTemplate={"metadata": {"annotations": annotations}},
        autoscaling={"scaleUp": UP, "scaleDown": DOWN, "startupSecondsHint": 5, **autoscaling},
        **nodes.placement(),
    )


@dataclass(frozen=True)
class Fleet:
    """One endpoint on fake GPUs: its nodes, its load and what is ordered for it."""

    api: Api
    namespace: str
    nodes: Nodes
    load: Load
    orders: Orders

    def status(self) -> Object:
        """What the object tells."""
        return self._object().get("status", {})

    def set_minimum(self, replicas: int) -> None:
        """Lets the user ask for so many replicas at least."""
        self.api.patch("WyomingStt", NAME, self.namespace, {"spec": {"autoscaling": {"minReplicas": replicas}}})

    def becomes_ready(self, replicas: int, *, within: float = 40) -> None:
        """Waits until so many replicas are ready and none starts."""

        def told() -> None:
            status = self.status()
            seen = status.get("readyReplicas"), status.get("startingReplicas")
            assert seen == (replicas, 0), str(status)[:400]

        eventually(f"{replicas} replicas are ready", told, within=within)

    def assert_limited_by(self, what: str) -> None:
        """The autoscaler must tell that this limits it."""
        auto = self.status().get("autoscaling", {})
        assert auto.get("limitedBy") == what, str(auto)

    def assert_told(self, type_: str, status: str, reason: str) -> None:
        """A condition of the object must be so."""
        assert_condition(self._object(), type_, status, reason)

    def _object(self) -> Object:
        return self.api.get("WyomingStt", NAME, self.namespace)
