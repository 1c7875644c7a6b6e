"""One object from its creation to its end, with an operator that has the chart's account and roles."""

import time
from collections.abc import Callable

from kit.api import Api, Object
from kit.audit import Audit, tally
from kit.cluster import Cluster
from kit.load import Listener
from kit.nodes import Nodes
from kit.objects import (
    CONDITIONS,
    MANAGER,
    STATUS_MANAGER,
    assert_condition,
    container,
    env,
    instance_labels,
    is_pod_ready,
    managers,
    owner_uids,
    stt,
)
from kit.operator import Operator
from kit.waiting import eventually, stays

CHILDREN = ("Deployment", "Service", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget", "PersistentVolumeClaim")
# A spec that has every kind of child, and pods that end soon.
FULL: Object = {
    "model": {"name": "base"},
    "capacity": {"queueTimeoutSeconds": 5},
    "lifecycle": {"terminationGracePeriodSeconds": 20},
    "replicas": 2,
    "networkPolicy": {"mode": "Ingress"},
    "cache": {"volumeClaimTemplate": {"size": "1Gi", "accessModes": ["ReadWriteMany"], "storageClassName": "none"}},
}


def ready(api: Api, namespace: str, name: str = "speech", *, replicas: int = 1, within: float = 40) -> Object:
    """The object, once the operator says that it is settled with so many replicas."""

    def look() -> Object:
        found = api.get("WyomingStt", name, namespace)
        assert_condition(found, "Ready", "True", "Reconciled")
        assert_condition(found, "Progressing", "False", "Settled")
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
        assert found["status"]["readyReplicas"] == replicas, found["status"]
        return found

    return eventually(f"{name} is ready", look, within=within)


def children(api: Api, namespace: str, name: str = "speech") -> dict[str, Object]:
    """What exists under the object's name."""
    found = {kind: api.find(kind, name, namespace) for kind in CHILDREN}
    return {kind: child for kind, child in found.items() if child is not None}


def poke(api: Api, namespace: str, operator: Operator, name: str = "speech") -> None:
    """Makes the operator look at the object again, and waits until it has."""
    before = operator.reconciles().count
    annotations = {"example.org/poked": str(time.monotonic())}
    api.patch("WyomingStt", name, namespace, {"metadata": {"annotations": annotations}})

    def look() -> None:
        assert operator.reconciles().count > before

    eventually("the object is looked at again", look, within=10)


def test_a_new_object_gets_children_pods_and_a_status(
    api: Api, namespace: str, nodes: Nodes, operator: Operator, listener: Listener, new_load: Callable[..., object]
) -> None:
    new_load("speech")
    made = api.create(
        stt(namespace, **FULL | {"cache": {}}, telemetry={"adminPort": listener.port}, **nodes.placement())
    )
    uid = made["metadata"]["uid"]
    found = ready(api, namespace, replicas=2)
    made_children = children(api, namespace)
    assert set(made_children) == set(CHILDREN) - {"PersistentVolumeClaim"}
    for kind, child in made_children.items():
        assert owner_uids(child) == [uid], kind
        assert MANAGER in managers(child), kind
        assert child["metadata"]["labels"]["app.kubernetes.io/instance"] == "speech", kind
    assert STATUS_MANAGER in managers(found, "status")
    assert MANAGER not in managers(found) and STATUS_MANAGER not in managers(found), "the operator wrote the spec"
    status = found["status"]
    assert {each["type"] for each in status["conditions"]} == CONDITIONS
    assert all(each["observedGeneration"] == 1 and each["reason"] for each in status["conditions"])
    assert status["endpoint"] == {"host": f"speech.{namespace}.svc", "port": 10300}
    assert (status["replicas"], status["updatedReplicas"], status["image"]) == (2, 2, "registry.example/stt:1")
    pods = api.list("Pod", namespace, labels=status["selector"])
    assert len(pods) == 2 and all(is_pod_ready(pod) for pod in pods)
    poke(api, namespace, operator)

    def told() -> None:
        model = api.get("WyomingStt", "speech", namespace)["status"].get("model", {})
        assert (model.get("name"), model.get("sha256")) == ("demo", "0" * 64), model

    eventually("the model is told as the pods tell it", told, within=5)


def test_an_edited_spec_is_rolled_out(api: Api, namespace: str, nodes: Nodes, operator: Operator) -> None:
    api.create(stt(namespace, replicas=2, **nodes.placement()))
    ready(api, namespace, replicas=2)
    old = {pod["metadata"]["uid"] for pod in api.list("Pod", namespace)}
    change = {"spec": {"decoding": {"beamSize": 5}, "language": {"forced": "de"}}}
    api.patch("WyomingStt", "speech", namespace, change)

    def look() -> None:
        pods = [pod for pod in api.list("Pod", namespace) if "deletionTimestamp" not in pod["metadata"]]
        assert len(pods) == 2 and all(is_pod_ready(pod) for pod in pods), f"{len(pods)} pods"
        assert not old & {pod["metadata"]["uid"] for pod in pods}, "old pods are there"
        for pod in pods:
            settings = env(pod)
            assert (settings["STT_BEAM_SIZE"], settings["STT_FORCE_LANGUAGE"]) == ("5", "de"), settings

    eventually("new pods have the new settings", look, within=60)
    assert ready(api, namespace, replicas=2)["status"]["observedGeneration"] == 2
    assert operator.is_running()


def test_a_service_port_changes_without_a_rollout(api: Api, namespace: str, nodes: Nodes, operator: Operator) -> None:
    api.create(stt(namespace, **nodes.placement()))
    ready(api, namespace)
    api.patch("WyomingStt", "speech", namespace, {"spec": {"service": {"port": 10555, "annotations": {"a": "b"}}}})

    def look() -> None:
        service = api.get("Service", "speech", namespace)
        assert [port["port"] for port in service["spec"]["ports"]] == [10555]
        assert service["metadata"]["annotations"]["a"] == "b"
        assert api.get("WyomingStt", "speech", namespace)["status"]["endpoint"]["port"] == 10555

    eventually("the Service has the new port", look, within=10)
    assert len(api.list("ReplicaSet", namespace)) == 1
    assert operator.is_running()


def test_drift_of_every_child_is_repaired(api: Api, namespace: str, operator: Operator) -> None:
    api.create(stt(namespace, **FULL))
    eventually("all children exist", lambda: _assert_kinds(api, namespace, set(CHILDREN)), within=20)
    drift: dict[str, Object] = {
        "Deployment": {"spec": {"replicas": 7}},
        "Service": {"spec": {"selector": {"app.kubernetes.io/instance": "other"}}},
        "ServiceAccount": {"automountServiceAccountToken": True},
        "NetworkPolicy": {"spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "other"}}}},
        "PodDisruptionBudget": {"spec": {"maxUnavailable": 2}},
        "PersistentVolumeClaim": {"metadata": {"labels": {"app.kubernetes.io/component": "other"}}},
    }
    right = {kind: child for kind, child in children(api, namespace).items()}
    for kind, change in drift.items():
        api.patch(kind, "speech", namespace, change)

    def look() -> None:
        for kind, child in children(api, namespace).items():
            wrong = [field for field in _touched(drift[kind], child, right[kind])]
            assert not wrong, f"{kind}: {wrong}"

    eventually("drifted children are repaired", look, within=20)
    assert operator.is_running()


def _touched(change: Object, now: Object, right: Object, path: str = "") -> list[str]:
    """Fields of `change` that are not as in `right`."""
    found = []
    for field, value in change.items():
        here = f"{path}.{field}"
        if isinstance(value, dict):
            found += _touched(value, now.get(field, {}), right.get(field, {}), here)
        elif now.get(field) != right.get(field):
            found.append(f"{here} is {now.get(field)!r}, not {right.get(field)!r}")
    return found


def _assert_kinds(api: Api, namespace: str, wanted: set[str]) -> None:
    found = set(children(api, namespace))
    assert found == wanted, f"there are {sorted(found)}"


def test_deleted_children_come_back(api: Api, namespace: str, operator: Operator) -> None:
    api.create(stt(namespace, **FULL))
    eventually("all children exist", lambda: _assert_kinds(api, namespace, set(CHILDREN)), within=20)
    old = {kind: child["metadata"]["uid"] for kind, child in children(api, namespace).items()}
    # A claim that a pod waits for is only deleted with it.
    gone = set(CHILDREN) - {"PersistentVolumeClaim"}
    for kind in gone:
        api.delete(kind, "speech", namespace)

    def look() -> None:
        new = {kind: child["metadata"]["uid"] for kind, child in children(api, namespace).items()}
        same = {kind for kind in gone if new.get(kind, old[kind]) == old[kind]}
        assert not same, f"not made again: {sorted(same)}"

    eventually("deleted children are made again", look, within=20)
    assert operator.is_running()


def test_children_that_are_no_longer_wanted_go(api: Api, namespace: str, operator: Operator) -> None:
    api.create(stt(namespace, **FULL))
    eventually("all children exist", lambda: _assert_kinds(api, namespace, set(CHILDREN)), within=20)
    change = {"spec": {"replicas": 1, "networkPolicy": {"mode": "Disabled"}, "serviceAccountName": "default"}}
    api.patch("WyomingStt", "speech", namespace, change)
    left = {"Deployment", "Service", "PersistentVolumeClaim", "PodDisruptionBudget"}
    eventually("only what is wanted is left", lambda: _assert_kinds(api, namespace, left), within=40)
    assert operator.is_running()


def test_a_second_reconcile_writes_nothing(
    api: Api, namespace: str, nodes: Nodes, operator: Operator, user: str, audit: Callable[[], Audit]
) -> None:
    api.create(stt(namespace, **FULL | {"cache": {}}, **nodes.placement()))
    ready(api, namespace, replicas=2)
    # Events follow the status in the same round; with this, that round has ended.
    poke(api, namespace, operator)
    log = audit()
    for _ in range(3):
        poke(api, namespace, operator)
    requests = [request for request in log.requests(user) if not request.is_lease]
    # Not even read: what it needs to know it watches.
    assert tally(requests) == {}


def test_a_deleted_object_takes_its_children_along(
    api: Api, namespace: str, nodes: Nodes, operator: Operator, user: str, audit: Callable[[], Audit]
) -> None:
    for name, how in (("back", "Background"), ("fore", "Foreground")):
        api.create(stt(namespace, name, **FULL | {"cache": {}}, **nodes.placement()))
        ready(api, namespace, name, replicas=2)
        log = audit()
        api.delete("WyomingStt", name, namespace, how=how)

        def look(name: str = name) -> None:
            assert api.find("WyomingStt", name, namespace) is None, "the object is there"
            left = set(children(api, namespace, name))
            assert not left, f"children are there: {sorted(left)}"
            pods = api.list("Pod", namespace, labels=instance_labels(name))
            assert all("deletionTimestamp" in pod["metadata"] for pod in pods)

        eventually(f"{how}: nothing is left", look, within=60)
        stays(f"{how}: nothing comes back", look, during=2)
        made = [request for request in log.writes(user) if request.verb != "delete" and request.resource != "events"]
        assert tally(made) == {}, f"{how}: written after the deletion"
    assert operator.is_running()


def test_a_paused_object_is_left_alone_and_reported(api: Api, namespace: str, nodes: Nodes, operator: Operator) -> None:
    api.create(stt(namespace, **nodes.placement()))
    ready(api, namespace)
    change = {"spec": {"managementState": "Paused", "replicas": 3, "service": {"port": 10777}}}
    api.patch("WyomingStt", "speech", namespace, change)

    def paused() -> None:
        found = api.get("WyomingStt", "speech", namespace)
        assert found["status"]["observedGeneration"] == 2
        assert_condition(found, "Ready", "True", "Paused")

    eventually("the pause is reported", paused, within=10)
    api.patch("Service", "speech", namespace, {"spec": {"selector": {"team": "other"}}})
    poke(api, namespace, operator)

    def untouched() -> None:
        service = api.get("Service", "speech", namespace)
        assert service["spec"]["selector"]["team"] == "other", "drift was repaired"
        assert service["spec"]["ports"][0]["port"] == 10300
        assert api.get("Deployment", "speech", namespace)["spec"]["replicas"] == 1

    stays("a paused object's children are left alone", untouched, during=2)
    api.patch("WyomingStt", "speech", namespace, {"spec": {"managementState": "Managed"}})

    def resumed() -> None:
        service = api.get("Service", "speech", namespace)
        assert "team" not in service["spec"]["selector"]
        assert service["spec"]["ports"][0]["port"] == 10777
        assert api.get("Deployment", "speech", namespace)["spec"]["replicas"] == 3

    eventually("work goes on after the pause", resumed, within=10)


def test_kubectl_scale_reaches_the_pods(
    cluster: Cluster, api: Api, namespace: str, nodes: Nodes, operator: Operator
) -> None:
    api.create(stt(namespace, **nodes.placement()))
    ready(api, namespace)
    cluster.kubectl("scale", "wstt/speech", "--replicas", "3", "--namespace", namespace)
    ready(api, namespace, replicas=3)
    scale = api.get("WyomingStt", "speech", namespace, subresource="scale")
    assert scale["status"]["replicas"] == 3
    selected = api.list("Pod", namespace, labels=scale["status"]["selector"])
    assert len(selected) == 3, "the selector is for a HorizontalPodAutoscaler to find the pods by"
    assert "PodDisruptionBudget" in children(api, namespace)
    cluster.kubectl("scale", "wstt/speech", "--replicas", "0", "--namespace", namespace)

    def none() -> None:
        found = api.get("WyomingStt", "speech", namespace)
        assert found["status"]["replicas"] == 0, found["status"]
        assert_condition(found, "Available", "False", "NoReplicas")

    eventually("no replica is left, and the status says why", none, within=30)
    assert operator.is_running()


def test_events_tell_transitions_only(api: Api, namespace: str, nodes: Nodes, operator: Operator) -> None:
    api.create(stt(namespace, **nodes.placement()))
    ready(api, namespace)

    def told() -> list[tuple[str, str, int]]:
        events = [each for each in api.list("Event", namespace) if each["regarding"]["kind"] == "WyomingStt"]
        return sorted((each["type"], each["reason"], each.get("series", {}).get("count", 1)) for each in events)

    def becoming_ready() -> None:
        assert ("Normal", "Reconciled", 1) in told(), told()

    eventually("an event tells that it is ready", becoming_ready, within=5)
    before = told()
    for _ in range(3):
        poke(api, namespace, operator)
    assert told() == before, "an event without a transition"
    api.patch("WyomingStt", "speech", namespace, {"spec": {"podTemplate": {"spec": {"hostNetwork": True}}}})

    def refused() -> None:
        assert ("Warning", "PodTemplateInvalid", 1) in told(), told()

    eventually("an event tells the fault", refused, within=10)


def test_the_container_and_its_settings_are_those_of_the_spec(api: Api, namespace: str, operator: Operator) -> None:
    spec: Object = {
        "capacity": {"maxConcurrent": 2, "maxQueue": 7, "queueTimeoutSeconds": 20},
        "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "900Mi"}},
        "podTemplate": {
            "metadata": {"annotations": {"example.org/a": "b"}},
            "spec": {"containers": [{"name": "server", "env": [{"name": "EXTRA", "value": "1"}]}]},
        },
    }
    api.create(stt(namespace, **spec))
    template = eventually(
        "the Deployment exists", lambda: api.get("Deployment", "speech", namespace)["spec"]["template"], within=10
    )
    server = container(template)
    settings = env(template)
    assert (settings["STT_MAX_BATCH"], settings["STT_MAX_WAITING"], settings["EXTRA"]) == ("2", "7", "1")
    assert server["resources"]["requests"]["cpu"] == "250m"
    assert server["resources"]["limits"] == {"memory": "900Mi"}
    assert template["metadata"]["annotations"]["example.org/a"] == "b"
    assert template["spec"]["automountServiceAccountToken"] is False
    assert operator.is_running()
