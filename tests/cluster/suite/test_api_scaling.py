"""Who writes the number of replicas: the fleet where it follows the load, the round where it is fixed."""

from kit.api import Api, Object
from kit.nodes import Nodes
from kit.objects import MANAGER, SCALER, stt
from kit.operator import Operator
from kit.waiting import eventually, stays


def owners(deployment: Object) -> set[str]:
    """Who owns the number of replicas."""
    entries = deployment["metadata"].get("managedFields", [])
    return {entry["manager"] for entry in entries if "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})}


def assert_deployment(api: Api, namespace: str, replicas: int, owner: str) -> None:
    """The Deployment must have so many replicas, written by this owner alone."""
    deployment = api.get("Deployment", "speech", namespace)
    assert deployment["spec"]["replicas"] == replicas, deployment["spec"]["replicas"]
    assert owners(deployment) == {owner}, owners(deployment)


def test_the_number_of_replicas_is_handed_over_and_back(
    api: Api, namespace: str, nodes: Nodes, operator: Operator
) -> None:
    api.create(stt(namespace, autoscaling={"minReplicas": 2, "maxReplicas": 2}, **nodes.placement()))
    eventually("the fleet has it", lambda: assert_deployment(api, namespace, 2, SCALER), within=30)

    # Somebody else's number does not last.
    api.patch("Deployment", "speech", namespace, {"spec": {"replicas": 1}})
    eventually("drift is repaired", lambda: assert_deployment(api, namespace, 2, SCALER), within=20)

    api.patch("WyomingStt", "speech", namespace, {"spec": {"autoscaling": None, "replicas": 3}})
    eventually("a fixed number is the round's", lambda: assert_deployment(api, namespace, 3, MANAGER), within=20)

    change = {"spec": {"autoscaling": {"minReplicas": 3, "maxReplicas": 3}, "replicas": 1}}
    api.patch("WyomingStt", "speech", namespace, change)
    eventually("the fleet has it again", lambda: assert_deployment(api, namespace, 3, SCALER), within=30)

    def never_fewer() -> None:
        assert api.get("Deployment", "speech", namespace)["spec"]["replicas"] == 3

    stays("nothing was lost on the way", never_fewer, during=6)
    assert operator.is_running()


def test_an_invalid_spec_does_not_stop_the_fleet(
    api: Api, namespace: str, nodes: Nodes, operator: Operator
) -> None:
    api.create(stt(namespace, autoscaling={"minReplicas": 2, "maxReplicas": 2}, **nodes.placement()))
    eventually("the fleet has it", lambda: assert_deployment(api, namespace, 2, SCALER), within=30)
    api.patch("WyomingStt", "speech", namespace, {"spec": {"podTemplate": {"spec": {"hostNetwork": True}}}})

    def told() -> None:
        conditions = api.get("WyomingStt", "speech", namespace)["status"]["conditions"]
        valid = next(each for each in conditions if each["type"] == "SpecValid")
        assert valid["reason"] == "PodTemplateInvalid", valid

    eventually("the fault is told", told, within=20)
    api.patch("Deployment", "speech", namespace, {"spec": {"replicas": 1}})
    eventually("the number is kept", lambda: assert_deployment(api, namespace, 2, SCALER), within=20)
    assert operator.is_running()
