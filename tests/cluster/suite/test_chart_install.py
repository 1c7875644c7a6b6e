"""The chart and the manifests on a real API server: install, upgrade, rollback, uninstall, and whose the definition is.

Each test begins with a cluster that does not know WyomingStt.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.api import Api, Object
from kit.cluster import ROOT, Cluster, examples
from kit.nodes import Nodes
from kit.objects import stt
from kit.waiting import eventually

sys.path.insert(0, str(ROOT / "tests/chart"))
from cases import CASES  # noqa: E402

CHART = ROOT / "charts/wyoming-stt"
DEFINITION = "wyomingstts.wyoming-stt.dev"
# What has no object of the cluster.
TENANT = {"crds": {"enabled": False}, "rbac": {"aggregateRoles": False}, "admissionPolicy": {"enabled": False}}
ENDPOINT = {"instances": {"kitchen": {"model": {"name": "demo"}}}}
OF_CLUSTER = (
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)
# Kinds that a release makes, beside the definition.
MADE = (
    "ServiceAccount",
    "Role",
    "RoleBinding",
    *OF_CLUSTER,
    "Deployment",
    "Service",
    "WyomingStt",
)


@dataclass
class Helm:
    """Helm as a user runs it, in one namespace."""

    cluster: Cluster
    namespace: str
    identity: list[str] = field(default_factory=list)
    # Whether the nodes are said to have the images.
    has_images: bool = True

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        """Its outcome is not judged."""
        command = [str(self.cluster.helm), *arguments, "--namespace", self.namespace, *self.identity]
        # An upgrade without values keeps those of before.
        is_whole = values is not None or "--reset-values" in arguments or arguments[0] == "install"
        if arguments[0] in ("install", "upgrade") and is_whole and self.has_images:
            values = {"image": {"pullPolicy": "Never"}, **(values or {})}
        if values is not None:
            command += ["--values", "-"]
        return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=120)

    def __call__(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """What it prints. Raises when it fails."""
        run = self.run(*arguments, values=values)
        assert run.returncode == 0, f"helm {' '.join(arguments)}: {run.stderr}"
        return run.stdout

    def refuses(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """What it says, failing."""
        run = self.run(*arguments, values=values)
        assert run.returncode != 0, f"helm {' '.join(arguments)} was accepted: {run.stdout}"
        return run.stderr

    def install(self, *arguments: str, name: str = "wyoming-stt", **values: Any) -> str:
        """`helm install`."""
        return self("install", name, str(CHART), *arguments, values=values)

    def upgrade(self, *arguments: str, name: str = "wyoming-stt", **values: Any) -> str:
        """`helm upgrade`."""
        return self("upgrade", name, str(CHART), *arguments, values=values)

    def releases(self) -> dict[str, str]:
        """Names and states of the releases in this namespace."""
        return {release["name"]: release["status"] for release in json.loads(self("list", "-o", "json"))}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The cluster, with the definition at the end only: other tests need it."""
    found = Cluster.around()
    yield found
    found.install_definition()


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Api:
    """The API server, as its administrator."""
    return cluster.api


@pytest.fixture(autouse=True)
def without_definition(api: Api) -> Iterator[None]:
    """Takes the definition away, and what releases left of the cluster's."""
    forget(api)
    yield
    forget(api)


def forget(api: Api) -> None:
    for kind in OF_CLUSTER:
        for thing in api.list(kind, labels="app.kubernetes.io/part-of=wyoming-stt"):
            api.delete(kind, thing["metadata"]["name"])
    api.delete("CustomResourceDefinition", DEFINITION)

    def is_gone() -> None:
        assert api.find("CustomResourceDefinition", DEFINITION) is None
        # Discovery is what helm and kubectl believe.
        groups = api.send("GET", "apis")["groups"]
        assert "wyoming-stt.dev" not in [group["name"] for group in groups]

    eventually("the definition is gone", is_gone, within=30)


@pytest.fixture
def helm(cluster: Cluster, namespace: str) -> Helm:
    """Helm in the test's namespace."""
    return Helm(cluster, namespace)


def listed(api: Api, kind: str, namespace: str | None, labels: str = "") -> list[Object]:
    """Objects of a kind. Of a new kind the server says for a moment that it is not ready."""
    return eventually(f"{kind} is served", lambda: api.list(kind, namespace, labels=labels), within=20)


def endpoints(api: Api, namespace: str) -> set[str]:
    return {thing["metadata"]["name"] for thing in listed(api, "WyomingStt", namespace)}


def made_by(api: Api, release: str, namespace: str) -> list[str]:
    labels = f"app.kubernetes.io/instance={release},app.kubernetes.io/managed-by=Helm"
    found = []
    for kind in MADE:
        is_of_cluster = kind in OF_CLUSTER
        for thing in listed(api, kind, None if is_of_cluster else namespace, labels):
            found.append(f"{kind} {thing['metadata']['name']}")
    return found


def owner(api: Api) -> tuple[str, str]:
    annotations = api.get("CustomResourceDefinition", DEFINITION)["metadata"]["annotations"]
    return annotations["meta.helm.sh/release-name"], annotations["meta.helm.sh/release-namespace"]


def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(
    api: Api, helm: Helm, namespace: str, new_namespace: Callable[..., str], nodes: Nodes
) -> None:
    elsewhere = new_namespace()
    settled = ("--wait", "--timeout", "60s")
    assert "There is no endpoint in this release yet" in helm.install(*settled, **nodes.placement())
    assert endpoints(api, elsewhere) == set()
    api.create(stt(elsewhere, "own"))

    said = helm.upgrade(*settled, replicaCount=2, **nodes.placement(), **ENDPOINT)
    assert f"Host: kitchen.{namespace}.svc" in said
    assert endpoints(api, namespace) == {"kitchen"}
    assert api.get("Deployment", "wyoming-stt-operator", namespace)["spec"]["replicas"] == 2
    assert api.find("PodDisruptionBudget", "wyoming-stt-operator", namespace)
    kept = api.get("WyomingStt", "kitchen", namespace)["metadata"]["uid"]

    changed = {"instances": {"kitchen": {"model": {"name": "demo"}, "replicas": 3}}}
    helm.upgrade(**nodes.placement(), **changed)
    kitchen = api.get("WyomingStt", "kitchen", namespace)
    # Changed, not made anew: an endpoint must not go away by an upgrade.
    assert (kitchen["metadata"]["uid"], kitchen["spec"]["replicas"]) == (kept, 3)

    helm("rollback", "wyoming-stt", "2")
    assert api.get("WyomingStt", "kitchen", namespace)["metadata"]["uid"] == kept
    assert api.get("WyomingStt", "kitchen", namespace)["spec"]["replicas"] == 1
    helm("rollback", "wyoming-stt", "1")
    assert endpoints(api, namespace) == set()
    assert api.find("PodDisruptionBudget", "wyoming-stt-operator", namespace) is None

    assert DEFINITION in helm("uninstall", "wyoming-stt")
    assert helm.releases() == {}
    assert made_by(api, "wyoming-stt", namespace) == []
    assert api.get("CustomResourceDefinition", DEFINITION)
    assert endpoints(api, elsewhere) == {"own"}


def test_without_images_nothing_is_installed_and_a_sentence_says_so(api: Api, cluster: Cluster, namespace: str) -> None:
    helm = Helm(cluster, namespace, has_images=False)
    said = helm.refuses("install", "wyoming-stt", str(CHART))
    assert "nobody hosts images of this project" in said and "set imageRegistry" in said, said
    assert helm.releases() == {} and api.find("Deployment", "wyoming-stt-operator", namespace) is None
    helm.install(imageRegistry="registry.example/speech")
    helm.upgrade(**{"global": {"imageRegistry": "registry.example/speech"}})
    helm.upgrade(image={"repository": "registry.example/speech/wyoming-stt-operator"})
    assert "nobody hosts images" in helm.refuses("upgrade", "wyoming-stt", str(CHART), "--reset-values")


def test_an_endpoint_goes_when_the_values_do_not_have_it_any_more(api: Api, helm: Helm, namespace: str) -> None:
    helm.install()
    helm.upgrade(**ENDPOINT)
    # Without any values an upgrade keeps the last ones.
    helm("upgrade", "wyoming-stt", str(CHART))
    assert endpoints(api, namespace) == {"kitchen"}
    helm.upgrade(instances={"hall": {"model": {"name": "demo"}}})
    assert endpoints(api, namespace) == {"hall"}
    helm.upgrade("--reset-values")
    assert endpoints(api, namespace) == set()


def test_a_first_install_with_endpoints_makes_nothing_and_says_why(api: Api, helm: Helm, namespace: str) -> None:
    for more in ([], ["--dry-run=server"]):
        said = helm.refuses("install", "wyoming-stt", str(CHART), *more, values=ENDPOINT)
        assert 'no matches for kind "WyomingStt"' in said, said
        assert "ensure CRDs are installed first" in said, said
    assert helm.releases() == {}
    assert api.find("CustomResourceDefinition", DEFINITION) is None
    assert api.find("Deployment", "wyoming-stt-operator", namespace) is None


def test_with_the_definition_applied_beforehand_one_install_makes_all(
    api: Api, cluster: Cluster, helm: Helm, namespace: str
) -> None:
    cluster.install_definition()
    helm.install(crds={"enabled": False}, **ENDPOINT)
    assert endpoints(api, namespace) == {"kitchen"}
    helm("uninstall", "wyoming-stt")
    assert endpoints(api, namespace) == set()
    assert api.get("CustomResourceDefinition", DEFINITION)


def test_the_same_release_takes_the_definition_back(api: Api, helm: Helm, namespace: str) -> None:
    helm.install()
    uid = api.get("CustomResourceDefinition", DEFINITION)["metadata"]["uid"]
    helm("uninstall", "wyoming-stt")
    # The definition is there, so endpoints can be part of the install.
    helm.install(**ENDPOINT)
    assert endpoints(api, namespace) == {"kitchen"}
    assert api.get("CustomResourceDefinition", DEFINITION)["metadata"]["uid"] == uid


def test_another_release_is_refused_the_definition_or_takes_it(
    api: Api, cluster: Cluster, helm: Helm, namespace: str, new_namespace: Callable[..., str]
) -> None:
    helm.install()
    helm("uninstall", "wyoming-stt")
    other = Helm(cluster, new_namespace())
    said = other.refuses("install", "other", str(CHART))
    assert "cannot be imported into the current release" in said, said
    assert owner(api) == ("wyoming-stt", namespace)
    other.install("--take-ownership", name="other")
    assert owner(api) == ("other", other.namespace)
    other.upgrade(name="other")


def test_a_second_release_leaves_to_the_first_what_is_the_clusters(
    api: Api, cluster: Cluster, helm: Helm, namespace: str, new_namespace: Callable[..., str]
) -> None:
    helm.install(watchNamespaces=[namespace])
    second = Helm(cluster, new_namespace())
    tenant = TENANT | {"watchNamespaces": [second.namespace]}
    second.install(**tenant)
    second("uninstall", "wyoming-stt")
    assert owner(api) == ("wyoming-stt", namespace)
    assert "ClusterRole wyoming-stt-edit" in made_by(api, "wyoming-stt", namespace)


def test_the_definition_goes_when_it_is_not_to_be_kept(api: Api, helm: Helm) -> None:
    helm.install(crds={"keep": False})
    helm("uninstall", "wyoming-stt")
    eventually(
        "the definition is gone", lambda: _assert_none(api.find("CustomResourceDefinition", DEFINITION)), within=20
    )


def _assert_none(found: Object | None) -> None:
    assert found is None


def _assert_one(found: list[Object]) -> None:
    assert len(found) == 1


def test_leaving_the_definition_out_later_does_not_delete_it(api: Api, helm: Helm) -> None:
    helm.install()
    helm.upgrade(crds={"enabled": False})
    assert "deletionTimestamp" not in api.get("CustomResourceDefinition", DEFINITION)["metadata"]


def test_an_upgrade_may_use_a_field_that_it_brings(api: Api, helm: Helm, namespace: str, tmp_path: Path) -> None:
    old = tmp_path / "wyoming-stt"
    shutil.copytree(CHART, old)
    definition = yaml.safe_load((old / "files/crd.yaml").read_text())
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["decoding"]["properties"]["initialPrompt"]
    (old / "files/crd.yaml").write_text(f"# Made by hand.\n{yaml.safe_dump(definition)}")
    helm("install", "wyoming-stt", str(old))
    kitchen = {"model": {"name": "demo"}, "decoding": {"initialPrompt": "lamp"}}
    helm.upgrade(instances={"kitchen": kitchen})
    assert api.get("WyomingStt", "kitchen", namespace)["spec"]["decoding"]["initialPrompt"] == "lamp"


def test_the_server_refuses_what_the_schema_cannot_see_in_the_rules_words(helm: Helm) -> None:
    helm.install()
    both = {"model": {"name": "demo"}, "replicas": 2, "autoscaling": {"maxReplicas": 2}}
    said = helm.refuses("upgrade", "wyoming-stt", str(CHART), values={"instances": {"kitchen": both}})
    assert "replicas and autoscaling exclude each other: remove one" in said, said
    # The next good one goes on from there.
    helm.upgrade(**ENDPOINT)
    assert helm.releases() == {"wyoming-stt": "deployed"}


def test_a_watched_namespace_must_exist(helm: Helm, namespace: str) -> None:
    values = {"watchNamespaces": [namespace, "no-such-namespace"]}
    said = helm.refuses("install", "wyoming-stt", str(CHART), values=values)
    assert 'namespaces "no-such-namespace" not found' in said, said


def impersonated(api: Api, namespace: str, name: str, role: str) -> list[str]:
    """A user who has a role of the cluster in one namespace."""
    api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
        }
    )
    return ["--kube-as-user", name]


def test_a_tenant_installs_with_nothing_but_rights_in_its_namespace(api: Api, cluster: Cluster, namespace: str) -> None:
    cluster.install_definition()
    tenant = Helm(cluster, namespace, impersonated(api, namespace, "tenant", "admin"))
    values = TENANT | {"watchNamespaces": [namespace]}
    # Kubernetes lets nobody grant what he does not have.
    said = tenant.refuses("install", "wyoming-stt", str(CHART), values=values)
    assert "attempting to grant RBAC permissions not currently held" in said, said
    tenant("uninstall", "wyoming-stt")
    # So an administrator makes the roles, once, and the rest is the tenant's.
    administrator = Helm(cluster, namespace)
    roles = administrator("template", "wyoming-stt", str(CHART), "--show-only", "templates/rbac.yaml", values=values)
    cluster.kubectl("apply", "-f", "-", given=roles)
    tenant.install(**{**values, "rbac": {"aggregateRoles": False, "create": False}})
    assert api.get("Deployment", "wyoming-stt-operator", namespace)


VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")


def verbs(api: Api, namespace: str, user: str, resource: str, subresource: str = "") -> set[str]:
    """What a user may do with a resource of ours."""
    attributes = {"group": "wyoming-stt.dev", "resource": resource, "subresource": subresource, "namespace": namespace}
    allowed = set()
    for verb in VERBS:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": {**attributes, "verb": verb}},
        }
        answer = api.send("POST", "apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        if answer["status"]["allowed"]:
            allowed.add(verb)
    return allowed


READ = {"get", "list", "watch"}
WRITE = {"create", "update", "patch", "delete", "deletecollection"}


@pytest.mark.parametrize(
    ("role", "objects", "scale"),
    [
        ("view", READ, {"get"}),
        ("edit", READ | WRITE, {"get", "update", "patch"}),
        ("admin", READ | WRITE, {"get", "update", "patch"}),
    ],
)
def test_who_has_a_role_of_the_cluster_has_it_for_endpoints(
    api: Api, helm: Helm, namespace: str, role: str, objects: set[str], scale: set[str]
) -> None:
    impersonated(api, namespace, f"user-{role}", role)
    assert verbs(api, namespace, f"user-{role}", "wyomingstts") == set()
    helm.install()

    def has_rights() -> None:
        assert verbs(api, namespace, f"user-{role}", "wyomingstts") == objects
        assert verbs(api, namespace, f"user-{role}", "wyomingstts", "scale") == scale
        assert verbs(api, namespace, f"user-{role}", "wyomingstts", "status") == {"get"}

    eventually(f"{role} is aggregated", has_rights, within=20)
    assert verbs(api, "default", f"user-{role}", "wyomingstts") == set()


@pytest.fixture
def namespaces_of_cases(api: Api) -> Iterator[None]:
    """The namespaces that the cases name, in which `restricted` is enforced."""
    names = ("speech", "home", "office")
    for name in names:
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield
    for name in names:
        api.delete("Namespace", name)


def complaints(cluster: Cluster, values: dict[str, Any]) -> str:
    """Errors and warnings of the API server about what `values` give."""
    text = Helm(cluster, "speech")("template", "wyoming-stt", str(CHART), values=values)
    # The definitions of the Prometheus operator are not here.
    theirs = ("PodMonitor", "PrometheusRule")
    things = [thing for thing in yaml.safe_load_all(text) if thing and thing["kind"] not in theirs]
    command = [str(cluster.kubectl_path), "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f-"]
    given = yaml.safe_dump_all(things)
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60).stderr


def test_the_server_takes_every_case_without_a_warning(cluster: Cluster, namespaces_of_cases: None) -> None:
    cluster.install_definition()
    said = {name: complaints(cluster, values) for name, values in CASES.items()}
    assert not any(said.values()), {name: words for name, words in said.items() if words}
    # Were there something to complain of, it would be said.
    unfit = {"securityContext": {"allowPrivilegeEscalation": True}}
    assert "restricted" in complaints(cluster, unfit)


def test_manifests_are_applied_with_one_command_and_again(api: Api, cluster: Cluster) -> None:
    manifests = ROOT / "manifests"
    command = ["apply", "--server-side", "-f", str(manifests / "crd.yaml"), "-f", str(manifests / "install.yaml")]
    try:
        cluster.kubectl(*command)
        cluster.kubectl(*command)
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{DEFINITION}", "--timeout=20s")
        # Its namespace enforces `restricted`, which refuses pods and says so nowhere else.
        eventually("the operator has a pod", lambda: _assert_one(api.list("Pod", "wyoming-stt")), within=20)
        for name in examples():
            file = str(manifests / "examples" / f"{name}.yaml")
            cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "--namespace=wyoming-stt", "-f", file)
    finally:
        api.delete("Namespace", "wyoming-stt")
