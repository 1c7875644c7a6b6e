"""The operator's rights: no more than it needs, and what happens while one is missing."""

from collections.abc import Callable

import pytest

from kit.api import Api, Object
from kit.objects import assert_condition, stt
from kit.operator import Operator
from kit.operators import Operators
from kit.waiting import eventually, stays


def may(api: Api, user: str, verb: str, resource: str, namespace: str | None, group: str = "") -> bool:
    """Whether the API server would let `user` do it."""
    resource, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "resource": resource, "subresource": subresource, "group": group}
    if namespace:
        attributes["namespace"] = namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": attributes,
        },
    }
    return api.send("POST", "apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]


FORBIDDEN = [
    ("get", "secrets", ""),
    ("list", "secrets", ""),
    ("create", "pods", ""),
    ("delete", "pods", ""),
    ("create", "pods/exec", ""),
    ("get", "pods/log", ""),
    ("create", "pods/eviction", ""),
    ("get", "configmaps", ""),
    ("create", "serviceaccounts/token", ""),
    ("get", "nodes", ""),
    ("create", "namespaces", ""),
    ("patch", "wyomingstts", "wyoming-stt.dev"),
    ("delete", "wyomingstts", "wyoming-stt.dev"),
    ("delete", "deployments", "apps"),
    ("patch", "customresourcedefinitions", "apiextensions.k8s.io"),
    ("create", "clusterrolebindings", "rbac.authorization.k8s.io"),
    ("bind", "roles", "rbac.authorization.k8s.io"),
    ("escalate", "roles", "rbac.authorization.k8s.io"),
    ("impersonate", "users", ""),
]


@pytest.mark.parametrize("everywhere", [False, True], ids=["namespaced", "cluster-wide"])
def test_its_account_may_do_what_it_does_and_nothing_else(
    api: Api, namespace: str, new_namespace: Callable[..., str], operators: Operators, everywhere: bool
) -> None:
    other = new_namespace()
    user = operators.permit(namespace, everywhere=everywhere)
    allowed = [may(api, user, verb, resource, namespace, group) for verb, resource, group in FORBIDDEN]
    assert not any(allowed), [right for right, is_allowed in zip(FORBIDDEN, allowed, strict=True) if is_allowed]
    assert may(api, user, "patch", "wyomingstts/status", namespace, "wyoming-stt.dev")
    assert may(api, user, "create", "deployments", namespace, "apps")
    assert may(api, user, "create", "deployments", other, "apps") is everywhere
    assert may(api, user, "list", "pods", None) is everywhere
    # A lease anywhere else is none of its business.
    assert not may(api, user, "update", "leases", other, "coordination.k8s.io")


def test_an_operator_for_some_namespaces_leaves_others_alone(
    api: Api, namespace: str, new_namespace: Callable[..., str], operator: Operator
) -> None:
    other = new_namespace()
    api.create(stt(other))
    api.create(stt(namespace))
    eventually("its own namespace is looked after", lambda: api.get("Deployment", "speech", namespace), within=10)
    stays("another namespace is left alone", lambda: _assert_untouched(api, other), during=2)
    assert operator.is_running()


def _assert_untouched(api: Api, namespace: str) -> None:
    assert "status" not in api.get("WyomingStt", "speech", namespace)
    assert api.find("Deployment", "speech", namespace) is None


def test_a_missing_permission_is_said_once_and_recovered_from(api: Api, namespace: str, operators: Operators) -> None:
    operators.permit(namespace)
    role = next(role for role in api.list("Role", namespace) if _rules_for(role, "deployments"))
    name, rules = role["metadata"]["name"], role["rules"]
    less = [rule for rule in rules if "services" not in rule["resources"]]
    assert len(less) == len(rules) - 1
    api.patch("Role", name, namespace, {"rules": less})
    operator = operators.start(namespace).lead(within=20)
    api.create(stt(namespace))

    def told() -> None:
        found = api.get("WyomingStt", "speech", namespace)
        condition = assert_condition(found, "Ready", "False")
        assert "services" in condition["message"] and "forbidden" in condition["message"], condition

    eventually("the missing right is told in the status", told, within=20)
    stays("the operator lives", lambda: _assert_running(operator), during=5)
    said = [line for line in operator.lines() if line.get("level") in ("WARN", "ERROR") and "services" in str(line)]
    assert 1 <= len(said) <= 2, f"said {len(said)} times: {said[:3]}"
    api.patch("Role", name, namespace, {"rules": rules})
    eventually("it goes on when it may", lambda: api.get("Service", "speech", namespace), within=60)


def _rules_for(role: Object, resource: str) -> bool:
    return any(resource in rule["resources"] for rule in role["rules"])


def _assert_running(operator: Operator) -> None:
    assert operator.is_running(), operator.tail()
