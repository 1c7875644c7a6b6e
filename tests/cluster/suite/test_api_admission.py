"""The chart's admission policies hold the operator to what belongs to endpoints. Here its own account is used by hand;
that the operator itself can do all that it has to, every other test shows: it runs under the policies in all of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import permissions
from kit.api import Api, Object, Refused
from kit.objects import MANAGER, stt
from kit.operators import Operators
from kit.waiting import eventually

COST = "controller.kubernetes.io/pod-deletion-cost"
SAFE: Object = {
    "name": "server",
    "image": "registry.example/stt:1",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


@pytest.fixture
def operator_api(api: Api, operators: Operators, namespace: str, tmp_path: Path) -> Api:
    """The API server, as the operator's account has it, under the policies."""
    account = operators.permit(namespace).rpartition(":")[2]
    api.create(stranger("ServiceAccount", namespace, "probe"))
    as_operator = Api(permissions.kubeconfig(api, namespace, account, tmp_path / "operator.kubeconfig"))
    # The one that is bound last speaks of this.
    probe = child(
        "Deployment", api.create(stt(namespace, "probe", replicas=0)), spec=deployment_spec({"hostPID": True})
    )

    def are_in_force() -> None:
        try:
            as_operator.create(probe, dry_run=True)
        except Refused as refusal:
            assert "processes" in refusal.message, refusal
        else:
            raise AssertionError("a pod may share the processes of its node")

    eventually("the policies are in force", are_in_force, within=10)
    return as_operator


def stranger(kind: str, namespace: str, name: str, **more: Any) -> Object:
    """An object that is no endpoint's."""
    versions = {
        "Deployment": "apps/v1",
        "Lease": "coordination.k8s.io/v1",
        "NetworkPolicy": "networking.k8s.io/v1",
        "PodDisruptionBudget": "policy/v1",
    }
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": versions.get(kind, "v1"), "kind": kind, "metadata": metadata} | more


def child(kind: str, owner: Object, **more: Any) -> Object:
    """What the operator makes for an endpoint."""
    meta = owner["metadata"]
    made = stranger(kind, meta["namespace"], meta["name"], **more)
    made["metadata"]["labels"] = {"app.kubernetes.io/managed-by": MANAGER}
    made["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "wyoming-stt.dev/v1alpha1",
            "kind": "WyomingStt",
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
        }
    ]
    return made


def deployment_spec(pod: Object | None = None) -> Object:
    labels = {"app": "any"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [SAFE], **(pod or {})}}
    return {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}


CLAIM = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}


def refused(what: Callable[[], object], words: str) -> None:
    with pytest.raises(Refused) as refusal:
        what()
    assert refusal.value.code == 403, refusal.value
    assert words in refusal.value.message, refusal.value


def pod(namespace: str, name: str, labels: dict[str, str]) -> Object:
    made = stranger("Pod", namespace, name, spec={"containers": [SAFE], "nodeSelector": {"no-such": "node"}})
    made["metadata"]["labels"] = labels
    made["metadata"]["annotations"] = {"example.org/kept": "yes"}
    return made


def test_of_pods_it_may_only_mark_those_of_endpoints(api: Api, operator_api: Api, namespace: str) -> None:
    ours = {"app.kubernetes.io/managed-by": MANAGER, "app.kubernetes.io/name": "wyoming-stt"}
    api.create(pod(namespace, "ours", ours))
    api.create(pod(namespace, "stranger", {"app.kubernetes.io/name": "wyoming-stt"}))

    def patch(name: str, change: Object) -> Object:
        return operator_api.patch("Pod", name, namespace, change)

    marked = patch("ours", {"metadata": {"annotations": {COST: "-5"}}})
    assert marked["metadata"]["annotations"] == {COST: "-5", "example.org/kept": "yes"}
    patch("ours", {"metadata": {"annotations": {COST: "-7"}}})
    assert COST not in patch("ours", {"metadata": {"annotations": {COST: None}}})["metadata"]["annotations"]
    refused(lambda: patch("stranger", {"metadata": {"annotations": {COST: "-5"}}}), "only mark pods of its endpoints")
    # A label does not make it one: it is looked at as it was.
    refused(lambda: patch("stranger", {"metadata": {"labels": ours}}), "only mark pods of its endpoints")
    (server,) = api.get("Pod", "ours", namespace)["spec"]["containers"]
    for change in (
        {"metadata": {"annotations": {"example.org/kept": "no"}}},
        {"metadata": {"annotations": {"example.org/kept": None}}},
        {"metadata": {"annotations": {"example.org/more": "yes"}}},
        {"metadata": {"annotations": None}},
        {"metadata": {"labels": {"app.kubernetes.io/name": "other"}}},
        {"metadata": {"labels": {"team": "mine"}}},
        {"metadata": {"finalizers": ["example.org/stay"]}},
        {"spec": {"containers": [server | {"image": "registry.example/evil:1"}]}},
        {"spec": {"activeDeadlineSeconds": 1}},
    ):
        refused(lambda change=change: patch("ours", change), "nothing of a pod but the annotation")
    # All others may do what they always may.
    api.patch("Pod", "stranger", namespace, {"metadata": {"annotations": {"example.org/kept": "no"}}})


def test_what_belongs_to_no_endpoint_is_neither_changed_nor_deleted(
    api: Api, operator_api: Api, namespace: str
) -> None:
    labelled = {"app.kubernetes.io/managed-by": MANAGER}
    api.create(stranger("PersistentVolumeClaim", namespace, "data", spec=CLAIM))
    taken = stranger("PersistentVolumeClaim", namespace, "taken", spec=CLAIM)
    owner = api.get("ServiceAccount", "probe", namespace)["metadata"]["uid"]
    # Of another controller, whatever its label says.
    taken["metadata"]["labels"] = labelled
    taken["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "name": "probe", "uid": owner, "controller": True}
    ]
    api.create(taken)
    api.create(stranger("Service", namespace, "web", spec={"ports": [{"port": 80}], "selector": {"app": "web"}}))
    api.create(stranger("Deployment", namespace, "web", spec=deployment_spec()))
    words = "what belongs to a WyomingStt object"
    for kind, name in (
        ("PersistentVolumeClaim", "data"),
        ("PersistentVolumeClaim", "taken"),
        ("ServiceAccount", "probe"),
        ("ServiceAccount", "default"),
    ):
        refused(lambda kind=kind, name=name: operator_api.delete(kind, name, namespace), words)
    for kind in ("Service", "Deployment"):
        change = {"metadata": {"labels": labelled}}
        refused(lambda kind=kind, change=change: operator_api.patch(kind, "web", namespace, change), words)
    # Neither by force, nor as if it belonged to an endpoint.
    stolen = child("Service", api.create(stt(namespace, "web", replicas=0)), spec={"selector": {"app": "mine"}})
    refused(lambda: operator_api.apply(stolen, manager=MANAGER), words)
    for kind, spec in (
        ("ServiceAccount", {}),
        ("PersistentVolumeClaim", {"spec": CLAIM}),
        ("Deployment", {"spec": deployment_spec()}),
    ):
        refused(lambda kind=kind, spec=spec: operator_api.create(stranger(kind, namespace, "new", **spec)), words)
    unlabelled = child("ServiceAccount", api.get("WyomingStt", "web", namespace))
    unlabelled["metadata"]["labels"] = {}
    refused(lambda: operator_api.create(unlabelled), words)
    renamed = child("ServiceAccount", api.get("WyomingStt", "web", namespace))
    renamed["metadata"]["name"] = "another"
    refused(lambda: operator_api.create(renamed), words)


def test_children_of_an_endpoint_are_made_changed_adopted_and_deleted(
    api: Api, operator_api: Api, namespace: str
) -> None:
    owner = api.create(stt(namespace, "kitchen", replicas=0))
    account = child("ServiceAccount", owner, automountServiceAccountToken=False)
    operator_api.apply(account, manager=MANAGER)
    operator_api.apply(account | {"automountServiceAccountToken": True}, manager=MANAGER)
    # As after a deletion without its children.
    api.patch("ServiceAccount", "kitchen", namespace, {"metadata": {"ownerReferences": None}})
    operator_api.apply(account, manager=MANAGER)
    # And as after somebody took the label away.
    api.patch("ServiceAccount", "kitchen", namespace, {"metadata": {"labels": None}})
    operator_api.apply(account, manager=MANAGER)
    refused(
        lambda: operator_api.patch("ServiceAccount", "kitchen", namespace, {"metadata": {"ownerReferences": None}}),
        "must go on to belong to a WyomingStt object",
    )
    operator_api.delete("ServiceAccount", "kitchen", namespace)
    claim = child("PersistentVolumeClaim", owner, spec=CLAIM)
    operator_api.apply(claim, manager=MANAGER)
    operator_api.delete("PersistentVolumeClaim", "kitchen", namespace)


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ({"hostNetwork": True}, "must not share the network"),
        ({"hostPID": True}, "must not share the network, the processes"),
        ({"hostIPC": True}, "or the memory of their node"),
        ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, "must not mount folders of their node"),
        ({"containers": [{**SAFE, "securityContext": {"privileged": True}}]}, "must not be privileged"),
        (
            {"initContainers": [{**SAFE, "name": "i", "securityContext": {"privileged": True}}]},
            "must not be privileged",
        ),
    ],
)
def test_no_pod_that_reaches_into_its_node_is_ordered(
    api: Api, operator_api: Api, namespace: str, pod: Object, words: str
) -> None:
    owner = api.create(stt(namespace, "kitchen", replicas=0))
    operator_api.create(child("Deployment", owner, spec=deployment_spec()), dry_run=True)
    refused(
        lambda: operator_api.create(child("Deployment", owner, spec=deployment_spec(pod)), dry_run=True),
        words,
    )


def test_it_holds_its_own_lease_only(operator_api: Api, namespace: str) -> None:
    operator_api.create(stranger("Lease", namespace, MANAGER, spec={}), dry_run=True)
    other = stranger("Lease", namespace, "kube-scheduler", spec={})
    refused(lambda: operator_api.create(other), f"hold the lease {MANAGER}")


def test_the_policies_are_understood_by_the_api_server(api: Api, operator_api: Api, namespace: str) -> None:
    """Every field that they name is one of what they look at."""
    names = [f"wyoming-stt-operator-{part}.{namespace}" for part in ("pods", "children", "templates")]

    def are_checked() -> None:
        for name in names:
            status = api.get("ValidatingAdmissionPolicy", name)["status"]
            assert status["observedGeneration"] == 1
            assert not (status.get("typeChecking") or {}).get("expressionWarnings"), status

    eventually("the policies are checked", are_checked, within=20)
