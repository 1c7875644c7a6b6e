"""What tests of the autoscaler share: an object on fake GPUs with short windows, and ways to look at it."""

from typing import Any

from kit.api import Api, Object
from kit.nodes import Nodes
from kit.objects import assert_condition, stt

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
        device={"type": "Cuda"},
        telemetry={"adminPort": port},
        capacity={"maxConcurrent": slots, "maxQueue": 1024, "queueTimeoutSeconds": 5},
        # Pods that are deleted keep their GPU until the end of this.
        lifecycle={"terminationGracePeriodSeconds": 15},
        podTemplate={"metadata": {"annotations": annotations}},
        autoscaling={"scaleUp": UP, "scaleDown": DOWN, "startupSecondsHint": 5, **autoscaling},
        **nodes.placement(),
    )


def assert_replicas(api: Api, namespace: str, ready: int, name: str = "speech") -> Object:
    """The object, which must tell of so many ready replicas and of none that starts."""
    found = api.get("WyomingStt", name, namespace)
    status = found.get("status", {})
    assert status.get("readyReplicas") == ready and status.get("startingReplicas") == 0, str(status)[:400]
    return found


def assert_limited_by(api: Api, namespace: str, what: str, name: str = "speech") -> Object:
    """The autoscaler's status, which must tell what limits it."""
    auto = api.get("WyomingStt", name, namespace).get("status", {}).get("autoscaling", {})
    assert auto.get("limitedBy") == what, str(auto)
    return auto


def assert_told(api: Api, namespace: str, type_: str, status: str, reason: str, name: str = "speech") -> Object:
    """A condition of the object."""
    return assert_condition(api.get("WyomingStt", name, namespace), type_, status, reason)
