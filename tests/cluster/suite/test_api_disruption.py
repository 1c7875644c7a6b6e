"""The API server goes and comes back, the definition is missing, an object cannot be read."""

import threading
import time

import pytest
import yaml

from kit.api import Api, Object
from kit.cluster import ROOT, Cluster
from kit.nodes import Nodes
from kit.objects import assert_condition, stt
from kit.operator import Operator
from kit.operators import Operators
from kit.waiting import eventually, stays

pytestmark = pytest.mark.alone
DEFINITION = "wyomingstts.wyoming-stt.dev"


def assert_ready(api: Api, namespace: str, name: str) -> None:
    """Whether the operator says so."""
    assert_condition(api.get("WyomingStt", name, namespace), "Ready", "True")


def assert_all_have_children(api: Api, namespace: str, names: list[str]) -> None:
    """Whether each object has its Deployment, and a status."""
    made = {each["metadata"]["name"] for each in api.list("Deployment", namespace)}
    told = {each["metadata"]["name"] for each in api.list("WyomingStt", namespace) if each.get("status")}
    missing = [name for name in names if name not in made & told]
    assert not missing, f"{len(missing)} of {len(names)} are not settled, such as {missing[0]}"


def test_the_api_server_restarts_in_the_middle(
    cluster: Cluster, api: Api, namespace: str, nodes: Nodes, operator: Operator
) -> None:
    api.create(stt(namespace, "before", **nodes.placement()))
    eventually("it is ready", lambda: assert_ready(api, namespace, "before"), within=40)
    uid = api.get("Deployment", "before", namespace)["metadata"]["uid"]
    names = [f"during-{index}" for index in range(20)]
    for name in names[:10]:
        api.create(stt(namespace, name, replicas=0))
    with operator.restarted():
        # Right into the middle of the work, by SIGKILL, and for longer than a client's first tries.
        cluster.restart("apiserver", "--stay-down", "4")
        for name in names[10:]:
            api.create(stt(namespace, name, replicas=0))
        eventually("all are settled", lambda: assert_all_have_children(api, namespace, names), within=60)
        api.patch("WyomingStt", "before", namespace, {"spec": {"service": {"port": 10444}}})

        def changed() -> None:
            assert api.get("Service", "before", namespace)["spec"]["ports"][0]["port"] == 10444

        eventually("watches work again", changed, within=60)
    assert api.get("Deployment", "before", namespace)["metadata"]["uid"] == uid
    said = [line for line in operator.lines() if line.get("message") == "kind cannot be watched; trying again"]
    kinds = [line["kind"] for line in said]
    # Once for each kind, by each process.
    assert len(kinds) <= len(set(kinds)) * len(operator.messages("leading")), kinds


def test_without_the_definition_it_waits(cluster: Cluster, api: Api, namespace: str, operators: Operators) -> None:
    api.delete("CustomResourceDefinition", DEFINITION)

    def gone() -> None:
        assert api.find("CustomResourceDefinition", DEFINITION) is None

    try:
        eventually("the definition is gone", gone, within=60)
        operator = operators.start(namespace).lead()

        def lives() -> None:
            assert operator.is_running(), operator.tail()
            assert operator.page("/health")

        stays("the operator waits", lives, during=8)
        said = [line for line in operator.lines() if line.get("level") in ("WARN", "ERROR")]
        assert said, "it does not say what is missing"
        assert any("wyomingstts" in str(line) or "definition" in str(line) for line in said), said
        assert len(said) <= 2, f"said {len(said)} times: {said}"
    finally:
        cluster.install_definition()
    api.create(stt(namespace))
    eventually("it works once the definition is there", lambda: api.get("Deployment", "speech", namespace), within=60)


def test_one_unreadable_object_does_not_stop_fifty_others(
    cluster: Cluster, api: Api, namespace: str, operators: Operators
) -> None:
    loosened = yaml.safe_load((ROOT / "manifests/crd.yaml").read_text())
    for version in loosened["spec"]["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        for field in ("type", "properties", "required", "x-kubernetes-validations", "default"):
            spec.pop(field, None)
        spec |= {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        # Rules on names stay; those that look into the spec would not compile.
    api.apply(loosened)

    def accepts() -> Object:
        return api.create(stt(namespace, "bad", model="not a model"))

    try:
        eventually("the loosened definition is in force", accepts, within=20)
        operator = operators.start(namespace).lead()
        names = [f"good-{index:02}" for index in range(50)]
        for name in names:
            api.create(stt(namespace, name, replicas=0))
        eventually("fifty others are settled", lambda: assert_all_have_children(api, namespace, names), within=60)
        assert api.find("Deployment", "bad", namespace) is None
        said = operator.messages("object skipped")
        assert 1 <= len(said) <= 2, f"said {len(said)} times"
        assert "bad" in str(said[0]), said[0]
        # It is looked at again as soon as somebody puts it right.
        api.patch("WyomingStt", "bad", namespace, {"spec": {"model": {"name": "demo"}, "replicas": 0}})
        eventually("the repaired one is settled", lambda: assert_all_have_children(api, namespace, ["bad"]), within=20)
        assert operator.is_running()
    finally:
        for each in api.list("WyomingStt", namespace):
            api.delete("WyomingStt", each["metadata"]["name"], namespace)
        cluster.install_definition()


def test_a_controller_manager_that_restarts_changes_nothing(
    cluster: Cluster, api: Api, namespace: str, nodes: Nodes, operator: Operator
) -> None:
    api.create(stt(namespace, replicas=2, **nodes.placement()))
    eventually("it is ready", lambda: assert_ready(api, namespace, "speech"), within=40)
    generation = api.get("Deployment", "speech", namespace)["metadata"]["generation"]
    restarting = threading.Thread(target=cluster.restart, args=("controller-manager",))
    restarting.start()
    stays("it stays ready", lambda: assert_ready(api, namespace, "speech"), during=3)
    restarting.join(60)
    time.sleep(1)
    assert api.get("Deployment", "speech", namespace)["metadata"]["generation"] == generation
    assert operator.is_running()
