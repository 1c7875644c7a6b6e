"""What a node drain may take away: evictions through the API, as `kubectl drain` asks for them."""

import pytest

from kit.api import Api, Object, Refused
from kit.nodes import Nodes
from kit.objects import instance_labels, is_pod_ready, stt
from kit.operator import Operator
from kit.waiting import eventually


def pods(api: Api, namespace: str) -> list[Object]:
    """Those that are not on their way out."""
    found = api.list("Pod", namespace, labels=instance_labels("speech"))
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def evict(api: Api, pod: Object) -> None:
    """Asks for it; `Refused` with code 429 when the budget does not allow it."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    }
    api.send("POST", f"api/v1/namespaces/{namespace}/pods/{name}/eviction", eviction)


def assert_allowed(api: Api, namespace: str, healthy: int, allowed: int) -> None:
    """What the budget's controller has counted."""
    status = api.get("PodDisruptionBudget", "speech", namespace).get("status", {})
    assert (status.get("currentHealthy"), status.get("disruptionsAllowed")) == (healthy, allowed), status


@pytest.mark.parametrize("replicas", [1, 6])
def test_one_of_the_replicas_may_go(
    api: Api, namespace: str, nodes: Nodes, operator: Operator, replicas: int
) -> None:
    api.create(stt(namespace, replicas=replicas, **nodes.placement()))
    eventually("it may be drained", lambda: assert_allowed(api, namespace, replicas, 1), within=60)
    first, *others = pods(api, namespace)
    evict(api, first)
    if others:
        with pytest.raises(Refused) as refused:
            evict(api, others[0])
        assert refused.value.code == 429, refused.value
    assert operator.is_running()


def test_replicas_that_are_not_ready_do_not_block_a_drain(
    api: Api, namespace: str, nodes: Nodes, operator: Operator
) -> None:
    slow = {"metadata": {"annotations": {"pod-ready.stage.kwok.x-k8s.io/delay": "3600s"}}}
    api.create(stt(namespace, replicas=2, podTemplate=slow, **nodes.placement()))

    def running() -> None:
        found = pods(api, namespace)
        assert len(found) == 2 and all(pod["spec"].get("nodeName") for pod in found), found
        assert not any(is_pod_ready(pod) for pod in found)

    eventually("two are there and none is ready", running, within=40)
    eventually("the budget knows", lambda: assert_allowed(api, namespace, 0, 0), within=30)

    def all_go() -> None:
        for pod in pods(api, namespace):
            evict(api, pod)

    # A pod that does not run yet may go in any case; one that runs and is not ready only by the budget's policy.
    all_go()
    assert operator.is_running()
