"""What the cluster or the operator refuses becomes a condition with a reason, and is put right when it can be."""

from collections.abc import Callable

import pytest

from kit.api import Api, Object, Refused
from kit.cluster import examples
from kit.nodes import Nodes
from kit.objects import assert_condition, condition, is_pod_ready, stt
from kit.operator import Operator
from kit.waiting import eventually, stays

# A refusal by the cluster is tried again by itself within this.
RETRIED = 40


def quota(namespace: str, **hard: str) -> Object:
    """A quota of a namespace."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "limits", "namespace": namespace},
        "spec": {"hard": {name.replace("__", "/"): value for name, value in hard.items()}},
    }


def assert_ready_is(api: Api, namespace: str, status: str, reason: str, name: str = "speech") -> Object:
    """The Ready condition."""
    return assert_condition(api.get("WyomingStt", name, namespace), "Ready", status, reason)


def is_quota_counted(api: Api, namespace: str) -> None:
    """A quota without a status is not enforced yet."""
    assert api.get("ResourceQuota", "limits", namespace).get("status", {}).get("hard")


def test_a_quota_on_children_is_told_and_recovered_from(
    api: Api, namespace: str, nodes: Nodes, operator: Operator
) -> None:
    api.create(quota(namespace, count__services="0"))
    eventually("the quota is in force", lambda: is_quota_counted(api, namespace), within=20)
    api.create(stt(namespace, **nodes.placement()))
    told = eventually(
        "the quota's refusal is told", lambda: assert_ready_is(api, namespace, "False", "QuotaExceeded"), within=20
    )
    assert "Service" in told["message"] and "exceeded quota" in told["message"], told
    assert operator.is_running()
    api.delete("ResourceQuota", "limits", namespace)
    eventually(
        "it recovers when the quota is gone",
        lambda: assert_ready_is(api, namespace, "True", "Reconciled"),
        within=RETRIED,
    )


def test_a_quota_on_pods_is_told_and_recovered_from(api: Api, namespace: str, nodes: Nodes, operator: Operator) -> None:
    api.create(quota(namespace, pods="0"))
    eventually("the quota is in force", lambda: is_quota_counted(api, namespace), within=20)
    api.create(stt(namespace, **nodes.placement()))
    told = eventually(
        "the quota's refusal is told", lambda: assert_ready_is(api, namespace, "False", "QuotaExceeded"), within=20
    )
    assert "exceeded quota" in told["message"], told
    assert operator.is_running()
    api.patch("ResourceQuota", "limits", namespace, {"spec": {"hard": {"pods": "5"}}})
    eventually(
        "it recovers when the quota is raised", lambda: assert_ready_is(api, namespace, "True", "Reconciled"), within=60
    )


@pytest.mark.parametrize("kind", ["Service", "Deployment", "ServiceAccount"])
def test_a_strangers_object_is_not_taken_over(
    api: Api, namespace: str, nodes: Nodes, operator: Operator, kind: str
) -> None:
    foreign = strangers(kind, namespace)
    before = api.create(foreign)
    api.create(stt(namespace, **nodes.placement()))
    told = eventually(
        "the taken name is told", lambda: assert_ready_is(api, namespace, "False", "NameTaken"), within=20
    )
    assert f"{kind} speech" in told["message"], told

    def untouched() -> None:
        now = api.get(kind, "speech", namespace)
        assert now["metadata"]["uid"] == before["metadata"]["uid"]
        assert not now["metadata"].get("ownerReferences")
        assert now["metadata"].get("labels") == before["metadata"].get("labels")

    stays("the stranger's object is left alone", untouched, during=3)
    api.delete(kind, "speech", namespace)
    eventually(
        "it recovers when the name is free",
        lambda: assert_ready_is(api, namespace, "True", "Reconciled"),
        within=RETRIED,
    )
    assert operator.is_running()


def strangers(kind: str, namespace: str) -> Object:
    """An object that somebody else made under a child's name."""
    labels = {"app": "other"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "other", "image": "registry.example/other:1"}]},
    }
    specs: dict[str, Object] = {
        "Service": {"apiVersion": "v1", "spec": {"ports": [{"port": 80}], "selector": labels}},
        "Deployment": {
            "apiVersion": "apps/v1",
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        },
        "ServiceAccount": {"apiVersion": "v1"},
    }
    return {"kind": kind, "metadata": {"name": "speech", "namespace": namespace, "labels": labels}, **specs[kind]}


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"cache": {"hostPath": {"path": "/srv/models"}}}, "HostPathNotAllowed", "--allow-host-path"),
        ({"model": {"name": "enormous"}}, "ModelUnknown", "enormous"),
        ({"podTemplate": {"spec": {"hostNetwork": True}}}, "PodTemplateInvalid", "hostNetwork"),
        ({"podTemplate": {"spec": {"nodeSelectr": {"a": "b"}}}}, "PodTemplateInvalid", "nodeSelectr"),
        (
            {"podTemplate": {"spec": {"containers": [{"name": "server", "command": ["sh"]}]}}},
            "PodTemplateInvalid",
            "command",
        ),
        (
            {"replicas": 2, "cache": {"volumeClaimTemplate": {"size": "1Gi", "accessModes": ["ReadWriteOncePod"]}}},
            "VolumeNotShared",
            "ReadWriteMany",
        ),
    ],
    ids=["host-path", "model", "host-network", "misspelt", "command", "volume"],
)
def test_what_cannot_work_is_told_and_the_last_good_deployment_stays(
    api: Api, namespace: str, operator: Operator, spec: Object, reason: str, words: str
) -> None:
    api.create(stt(namespace))
    good = eventually("the Deployment exists", lambda: api.get("Deployment", "speech", namespace), within=10)
    api.patch("WyomingStt", "speech", namespace, {"spec": spec})
    told = eventually("the fault is told", lambda: assert_ready_is(api, namespace, "False", reason), within=10)
    assert words in told["message"], told
    found = api.get("WyomingStt", "speech", namespace)
    assert condition(found, "SpecValid")["reason"] == reason
    now = api.get("Deployment", "speech", namespace)
    assert now["metadata"]["generation"] == good["metadata"]["generation"]
    undo = {key: None for key in spec} | {"model": {"name": "demo"}}
    api.patch("WyomingStt", "speech", namespace, {"spec": undo})

    def valid() -> None:
        assert_condition(api.get("WyomingStt", "speech", namespace), "SpecValid", "True", "Valid")

    eventually("the fault is gone with its cause", valid, within=10)
    assert operator.is_running()


def test_what_the_api_server_finds_invalid_is_told(api: Api, namespace: str, operator: Operator) -> None:
    template = {"spec": {"containers": [{"name": "server", "ports": [{"containerPort": 99999}]}]}}
    api.create(stt(namespace, podTemplate=template))
    told = eventually(
        "the refusal is told", lambda: assert_ready_is(api, namespace, "False", "ApplyRefused"), within=10
    )
    assert "Deployment" in told["message"] and "99999" in told["message"], told
    assert operator.is_running()


def test_every_example_runs_in_a_restricted_namespace(
    api: Api, namespace: str, new_nodes: Callable[..., Nodes], operator: Operator
) -> None:
    nodes = new_nodes(8)
    plain = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "plain", "namespace": namespace},
        "spec": {"containers": [{"name": "a", "image": "registry.example/a:1"}]},
    }
    with pytest.raises(Refused, match="violates PodSecurity"):
        api.create(plain, dry_run=True)
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "models", "namespace": namespace}
    api.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim})
    names = []
    for name, example in examples().items():
        example["metadata"] = {"name": name, "namespace": namespace}
        placement = nodes.placement()
        example["spec"] |= placement
        # Nothing here provides volumes.
        example["spec"].pop("cache", None)
        api.create(example, strict=True)
        names.append(name)

    def look() -> None:
        for name in names:
            deployment = api.get("Deployment", name, namespace)
            template = deployment["spec"]["template"]
            metadata = template["metadata"] | {"name": f"{name}-try", "namespace": namespace}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
            api.create(pod, dry_run=True)

    eventually("every example's pod is accepted", look, within=20)
    # A claim without a volume keeps a pod from its node.
    runnable = [
        name for name in names if "persistentVolumeClaim" not in examples()[name]["spec"]["model"].get("source", {})
    ]

    def running() -> None:
        for name in runnable:
            pods = api.list("Pod", namespace, labels=f"app.kubernetes.io/instance={name}")
            assert any(is_pod_ready(pod) for pod in pods), f"{name} has no ready pod"

    eventually("the examples' pods run", running, within=40)
    assert operator.is_running()
