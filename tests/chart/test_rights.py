"""What the operator may do, and where."""

import pytest
from cases import CASES
from rendering import NAMESPACE, Object, Rendered, Values, render

every_case = pytest.mark.parametrize("values", CASES.values(), ids=CASES)

OF_THE_CLUSTER = {"ClusterRole", "ClusterRoleBinding"}
POLICIES = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


@every_case
def test_no_rule_is_wider_than_its_words(values: Values) -> None:
    for role, rule in render(values).rules:
        assert "nonResourceURLs" not in rule, role
        for field in ("apiGroups", "resources", "verbs"):
            assert rule[field], f"{role}: {rule}"
            assert not any("*" in word for word in rule[field]), f"{role}: {rule}"


@every_case
def test_no_role_reaches_secrets_or_into_pods_or_more_rights(values: Values) -> None:
    for role, rule in render(values).rules:
        forbidden = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "nodes"}
        assert not forbidden & set(rule["resources"]), f"{role}: {rule}"
        assert not {"customresourcedefinitions", "serviceaccounts/token"} & set(rule["resources"]), f"{role}: {rule}"
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), f"{role}: {rule}"
        assert "rbac.authorization.k8s.io" not in rule["apiGroups"], f"{role}: {rule}"


def allowed(rules: list[Object]) -> set[tuple[str, str, str]]:
    """Every verb on every resource, by group."""
    return {
        (verb, resource, group)
        for rule in rules
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for group in rule["apiGroups"]
    }


# What the operator's code asks the API server for: no more and no less.
NEEDED = (
    {(verb, "wyomingstts", "wyoming-stt.dev") for verb in ("get", "list", "watch")}
    | {("patch", "wyomingstts/status", "wyoming-stt.dev")}
    | {(verb, "deployments", "apps") for verb in ("get", "list", "watch", "create", "patch")}
    | {(verb, "services", "") for verb in ("get", "list", "watch", "create", "patch")}
    | {
        (verb, resource, group)
        for verb in ("get", "list", "watch", "create", "patch", "delete")
        for resource, group in (
            ("serviceaccounts", ""),
            ("persistentvolumeclaims", ""),
            ("networkpolicies", "networking.k8s.io"),
            ("poddisruptionbudgets", "policy"),
        )
    }
    | {(verb, "pods", "") for verb in ("get", "list", "watch", "patch")}
    | {(verb, "events", "events.k8s.io") for verb in ("create", "patch")}
)


def test_the_operator_has_these_rights_in_the_whole_cluster() -> None:
    rendered = render()
    role = named(rendered, "ClusterRole", "wyoming-stt-operator")
    assert allowed(role["rules"]) == NEEDED | {("list", "leases", "coordination.k8s.io")}
    binding = rendered.one("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "wyoming-stt-operator", "namespace": NAMESPACE}]


def leases(role: Object) -> set[tuple[str, str]]:
    """Verbs on leases, each with the lease that it is for; creating cannot be limited to one."""
    rules = [rule for rule in role["rules"] if "leases" in rule["resources"]]
    return {(verb, name) for rule in rules for verb in rule["verbs"] for name in rule.get("resourceNames", ["*"])}


def test_an_operator_of_the_cluster_has_one_lease_and_sees_those_of_others() -> None:
    rendered = render()
    own = named(rendered, "Role", "wyoming-stt-operator-lease", NAMESPACE)
    mine = "wyoming-stt-operator-cluster"
    assert leases(own) == {("create", "*"), ("get", mine), ("update", mine)}
    everywhere = named(rendered, "ClusterRole", "wyoming-stt-operator")
    assert leases(everywhere) == {("list", mine), ("list", "wyoming-stt-operator")}


def test_an_operator_of_namespaces_has_a_lease_in_each_of_them() -> None:
    rendered = render({"watchNamespaces": ["home", "office"]})
    roles = rendered.all("Role")
    assert {role["metadata"]["namespace"] for role in roles} == {"home", "office"}
    for role in roles:
        mine = "wyoming-stt-operator"
        assert leases(role) == {("create", "*"), ("get", mine), ("update", mine)}
    assert not any(leases(role) for role in rendered.all("ClusterRole"))


@pytest.mark.parametrize("watched", [["home"], ["home", "office"], [NAMESPACE]])
def test_with_namespaces_there_is_a_role_in_each_and_none_of_the_cluster(watched: list[str]) -> None:
    rendered = render({"watchNamespaces": watched})
    aggregated = {"wyoming-stt-view", "wyoming-stt-edit"}
    of_cluster = {thing["metadata"]["name"] for thing in rendered.objects if thing["kind"] in OF_THE_CLUSTER}
    assert of_cluster == aggregated
    for namespace in watched:
        role = named(rendered, "Role", "wyoming-stt-operator", namespace)
        assert allowed(role["rules"]) == NEEDED | {
            (verb, "leases", "coordination.k8s.io") for verb in ("create", "get", "update")
        }
        binding = named(rendered, "RoleBinding", "wyoming-stt-operator", namespace)
        assert binding["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": "wyoming-stt-operator",
        }
        assert binding["subjects"][0]["namespace"] == NAMESPACE
    assert len(rendered.all("Role")) == len(watched)


def test_a_tenant_without_rights_on_the_cluster_can_install() -> None:
    rendered = render(CASES["nothing-of-the-cluster"])
    assert not {*OF_THE_CLUSTER, *POLICIES, "CustomResourceDefinition"} & set(rendered.kinds)
    assert {thing["metadata"]["namespace"] for thing in rendered.objects} == {NAMESPACE}


def test_viewers_see_and_editors_change() -> None:
    rendered = render()
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    levels = {}
    for name in ("view", "edit"):
        role = named(rendered, "ClusterRole", f"wyoming-stt-{name}")
        labels = role["metadata"]["labels"]
        levels[name] = {label.removeprefix(aggregate) for label in labels if label.startswith(aggregate)}
        assert {group for _, _, group in allowed(role["rules"])} == {"wyoming-stt.dev"}
    assert levels == {"view": {"view", "edit", "admin"}, "edit": {"edit", "admin"}}
    view = allowed(named(rendered, "ClusterRole", "wyoming-stt-view")["rules"])
    assert {verb for verb, _, _ in view} == {"get", "list", "watch"}
    edit = allowed(named(rendered, "ClusterRole", "wyoming-stt-edit")["rules"])
    # The status is the operator's.
    assert not any(resource == "wyomingstts/status" for _, resource, _ in edit)


def test_roles_can_be_left_to_the_administrator() -> None:
    without = render({"rbac": {"create": False, "aggregateRoles": False}})
    assert not {"Role", "RoleBinding", *OF_THE_CLUSTER} & set(without.kinds)


@pytest.mark.parametrize(
    ("values", "account", "is_made"),
    [
        ({}, "wyoming-stt-operator", True),
        ({"name": "other"}, "other", True),
        ({"create": False, "name": "mine"}, "mine", False),
        ({"create": False}, "default", False),
    ],
)
def test_the_account_of_the_pods_is_the_one_that_has_the_rights(values: Values, account: str, is_made: bool) -> None:
    rendered = render({"serviceAccount": values})
    assert rendered.pod["serviceAccountName"] == account
    assert ("ServiceAccount" in rendered.kinds) == is_made
    for binding in rendered.all("ClusterRoleBinding") + rendered.all("RoleBinding"):
        assert [subject["name"] for subject in binding["subjects"]] == [account]


def named(rendered: Rendered, kind: str, name: str, namespace: str | None = None) -> Object:
    found = [
        thing
        for thing in rendered.all(kind)
        if thing["metadata"]["name"] == name and thing["metadata"].get("namespace") == namespace
    ]
    assert len(found) == 1, f"{len(found)} {kind} {name} in {namespace}"
    return found[0]
