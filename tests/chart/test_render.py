"""What the objects are like, over all values of `cases`, and what each switch does."""

from pathlib import Path

import pytest
import yaml
from cases import CASES, DIGEST, INSTANCES
from rendering import CHART, NAMESPACE, RELEASE, Object, Rendered, Values, helm, render, template

VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
# Kinds that belong to no namespace.
OF_CLUSTER = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
every_case = pytest.mark.parametrize("values", CASES.values(), ids=CASES)


@pytest.fixture(scope="module")
def defaults() -> Rendered:
    return render()


def test_lint_finds_nothing() -> None:
    run = helm("lint", "--strict", str(CHART))
    assert run.returncode == 0, run.stdout + run.stderr


@every_case
def test_lint_finds_nothing_in_a_case(values: Values, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    run = helm("lint", "--strict", str(CHART), "--values", str(file))
    assert run.returncode == 0, run.stdout + run.stderr


@every_case
def test_rendering_twice_gives_the_same_bytes(values: Values) -> None:
    assert render(values).text == template(values).stdout


@every_case
def test_every_pod_is_fit_for_pod_security_restricted(values: Values) -> None:
    pods = render(values).pods
    assert pods
    for pod in pods:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod.get("volumes", []) in ([], values.get("extraVolumes", []))
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"].get("runAsUser") != 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@every_case
def test_every_object_has_labels_and_a_place(values: Values) -> None:
    rendered = render(values)
    for thing in rendered.objects:
        labels = thing["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"], thing
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/version"] == VERSION
        assert labels["app.kubernetes.io/part-of"] == "wyoming-stt"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["helm.sh/chart"] == f"wyoming-stt-{VERSION}"
        for name, value in values.get("commonLabels", {}).items():
            assert labels[name] == value
        for name, value in values.get("commonAnnotations", {}).items():
            assert thing["metadata"]["annotations"][name] == value
        is_of_cluster = thing["kind"] in OF_CLUSTER
        assert is_of_cluster == ("namespace" not in thing["metadata"]), thing["kind"]


@every_case
def test_no_object_is_there_twice(values: Values) -> None:
    names = [
        (thing["kind"], thing["metadata"].get("namespace"), thing["metadata"]["name"])
        for thing in render(values).objects
    ]
    assert len(names) == len(set(names)), names


@every_case
def test_a_selector_finds_the_operators_pods_and_no_endpoints(values: Values) -> None:
    deployment = render(values).one("Deployment")
    selector = deployment["spec"]["selector"]["matchLabels"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()
    # A Service of an endpoint selects by this name.
    assert labels["app.kubernetes.io/name"] != "wyoming-stt"


def test_the_selector_does_not_change_with_the_version(defaults: Rendered) -> None:
    selector = defaults.one("Deployment")["spec"]["selector"]["matchLabels"]
    assert selector == {"app.kubernetes.io/name": "wyoming-stt-operator", "app.kubernetes.io/instance": RELEASE}


def test_defaults_make_these_objects(defaults: Rendered) -> None:
    assert sorted(f"{thing['kind']} {thing['metadata']['name']}" for thing in defaults.objects) == [
        "ClusterRole wyoming-stt-edit",
        "ClusterRole wyoming-stt-operator",
        "ClusterRole wyoming-stt-view",
        "ClusterRoleBinding wyoming-stt-operator",
        "CustomResourceDefinition wyomingstts.wyoming-stt.dev",
        "Deployment wyoming-stt-operator",
        "Pod wyoming-stt-test",
        "Role wyoming-stt-operator-lease",
        "RoleBinding wyoming-stt-operator-lease",
        "Service wyoming-stt-operator",
        "ServiceAccount wyoming-stt-operator",
        "ValidatingAdmissionPolicy wyoming-stt-operator-children.speech",
        "ValidatingAdmissionPolicy wyoming-stt-operator-pods.speech",
        "ValidatingAdmissionPolicy wyoming-stt-operator-templates.speech",
        "ValidatingAdmissionPolicyBinding wyoming-stt-operator-children.speech",
        "ValidatingAdmissionPolicyBinding wyoming-stt-operator-pods.speech",
        "ValidatingAdmissionPolicyBinding wyoming-stt-operator-templates.speech",
    ]


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("wyoming-stt", {}, "wyoming-stt-operator"),
        ("home", {}, "home-wyoming-stt-operator"),
        ("home", {"nameOverride": "ears"}, "home-ears-operator"),
        ("home", {"fullnameOverride": "ears"}, "ears-operator"),
        ("h" * 53, {}, "h" * 48 + "-operator"),
    ],
)
def test_names_come_from_the_release(release: str, values: Values, name: str) -> None:
    rendered = render(values, release=release)
    assert rendered.one("Deployment")["metadata"]["name"] == name
    for thing in rendered.objects:
        # Names with dots may be longer; these have the namespace behind the dot.
        longest = 253 if thing["kind"] in OF_CLUSTER else 63
        assert len(thing["metadata"]["name"]) <= longest


def test_the_operator_is_probed_on_its_admin_port(defaults: Rendered) -> None:
    container = defaults.operator
    assert container["ports"] == [{"name": "admin", "containerPort": 10390, "protocol": "TCP"}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "admin"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "admin"}
    assert container["args"] == ["run"]
    assert container["livenessProbe"]["timeoutSeconds"] == container["readinessProbe"]["timeoutSeconds"] == 3
    assert container["resources"]["limits"]["memory"]
    assert defaults.pod["automountServiceAccountToken"] is True
    assert defaults.one("ServiceAccount")["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("values", "images"),
    [
        ({}, [f"wyoming-stt-operator:{VERSION}", f"wyoming-stt:{VERSION}", f"wyoming-stt:{VERSION}-cuda"]),
        (
            {"image": {"tag": "1"}, "servers": {"image": {"tag": "2"}, "cudaImage": {"tag": "3"}}},
            ["wyoming-stt-operator:1", "wyoming-stt:2", "wyoming-stt:3"],
        ),
        (
            {
                "imageRegistry": "registry.example/speech/",
                "image": {"digest": DIGEST, "tag": "1"},
                "servers": {
                    "image": {"repository": "ears", "digest": DIGEST},
                    "cudaImage": {"digest": DIGEST, "tag": "cuda"},
                },
            },
            [
                f"registry.example/speech/wyoming-stt-operator@{DIGEST}",
                f"registry.example/speech/ears@{DIGEST}",
                f"registry.example/speech/wyoming-stt@{DIGEST}",
            ],
        ),
        (
            {"global": {"imageRegistry": "all.example"}},
            [
                f"all.example/wyoming-stt-operator:{VERSION}",
                f"all.example/wyoming-stt:{VERSION}",
                f"all.example/wyoming-stt:{VERSION}-cuda",
            ],
        ),
        (
            {"global": {"imageRegistry": "all.example"}, "imageRegistry": "ours.example", "image": {"tag": "1"}},
            [
                "ours.example/wyoming-stt-operator:1",
                f"ours.example/wyoming-stt:{VERSION}",
                f"ours.example/wyoming-stt:{VERSION}-cuda",
            ],
        ),
    ],
)
def test_a_digest_wins_over_a_tag_and_a_tag_over_the_version(values: Values, images: list[str]) -> None:
    rendered = render(values)
    environment = rendered.environment
    found = [
        rendered.operator["image"],
        environment["OPERATOR_SERVER_IMAGE"],
        environment["OPERATOR_SERVER_IMAGE_CUDA"],
    ]
    assert found == images
    assert rendered.one("Pod")["spec"]["containers"][0]["image"] == images[1]


@pytest.mark.parametrize(
    ("values", "variable", "value"),
    [
        ({}, "OPERATOR_WATCH_NAMESPACES", "absent"),
        ({"watchNamespaces": ["home", "office"]}, "OPERATOR_WATCH_NAMESPACES", "home,office"),
        ({}, "OPERATOR_ALLOW_HOST_PATH", "absent"),
        ({"servers": {"allowHostPath": True}}, "OPERATOR_ALLOW_HOST_PATH", "true"),
        ({}, "OPERATOR_MAX_ROLLOUTS", "10"),
        ({"maxRollouts": 0}, "OPERATOR_MAX_ROLLOUTS", "0"),
        ({}, "OPERATOR_METRICS_PER_OBJECT", "absent"),
        ({"metrics": {"perObject": True}}, "OPERATOR_METRICS_PER_OBJECT", "true"),
        ({}, "OPERATOR_LOG", "info"),
        ({"logging": {"filter": "debug"}}, "OPERATOR_LOG", "debug"),
        ({}, "OPERATOR_LOG_FORMAT", "json"),
        ({"logging": {"format": "text"}}, "OPERATOR_LOG_FORMAT", "text"),
        ({}, "OPERATOR_OTLP_ENDPOINT", "absent"),
        ({"otlp": {"endpoint": "http://c:4317"}}, "OPERATOR_OTLP_ENDPOINT", "http://c:4317"),
        ({"extraEnv": [{"name": "NO_COLOR", "value": "1"}]}, "NO_COLOR", "1"),
        ({}, "OPERATOR_NO_LEADER_ELECTION", "absent"),
    ],
)
def test_a_value_becomes_a_variable(values: Values, variable: str, value: str) -> None:
    assert render(values).environment.get(variable, "absent") == value


@pytest.mark.parametrize("replicas", [0, 1, 2, 5])
@pytest.mark.parametrize("enabled", [True, False])
def test_a_disruption_budget_needs_two_replicas(replicas: int, enabled: bool) -> None:
    rendered = render({"replicaCount": replicas, "podDisruptionBudget": {"enabled": enabled}})
    assert rendered.one("Deployment")["spec"]["replicas"] == replicas
    assert ("PodDisruptionBudget" in rendered.kinds) == (enabled and replicas >= 2)


def test_two_replicas_spread_over_hosts_unless_told_otherwise() -> None:
    assert "topologySpreadConstraints" not in render({"replicaCount": 1}).pod
    (constraint,) = render({"replicaCount": 2}).pod["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    given = CASES["pods"]["topologySpreadConstraints"]
    assert render({"replicaCount": 2, "topologySpreadConstraints": given}).pod["topologySpreadConstraints"] == given


def test_what_pods_are_given_is_passed_on() -> None:
    values = CASES["pods"]
    rendered = render(values)
    metadata = rendered.one("Deployment")["spec"]["template"]["metadata"]
    assert values["podLabels"].items() <= metadata["labels"].items()
    assert metadata["annotations"] == values["podAnnotations"]
    assert rendered.operator["args"] == ["run", "--log", "debug"]
    fields = (
        "nodeSelector",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
        "priorityClassName",
        "hostAliases",
    )
    for field in fields:
        assert rendered.pod[field] == values[field]
    assert rendered.pod["volumes"] == values["extraVolumes"]
    assert rendered.operator["volumeMounts"] == values["extraVolumeMounts"]
    assert rendered.operator["livenessProbe"]["periodSeconds"] == 20
    assert rendered.operator["readinessProbe"]["failureThreshold"] == 1
    assert rendered.one("Deployment")["spec"]["revisionHistoryLimit"] == 1
    shared = render(CASES["images-from-a-registry-of-all-charts"])
    assert all(pod["imagePullSecrets"] == [{"name": "two"}, {"name": "one"}] for pod in shared.pods)
    registry = render(CASES["images-from-a-registry"])
    assert all(pod["imagePullSecrets"] == [{"name": "registry"}] for pod in registry.pods)


def test_users_label_cannot_take_a_selectors_place() -> None:
    rendered = render({"commonLabels": {"app.kubernetes.io/name": "x"}, "podLabels": {"app.kubernetes.io/name": "y"}})
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "wyoming-stt-operator"


def test_pod_monitors_are_made_on_request() -> None:
    assert "PodMonitor" not in render().kinds
    labels = {"release": "prometheus"}
    operator, servers = render(CASES["pod-monitors"]).all("PodMonitor")
    assert operator["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] == "wyoming-stt-operator"
    assert servers["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == "server"
    assert servers["spec"]["namespaceSelector"] == {"any": True}
    for monitor in (operator, servers):
        assert labels.items() <= monitor["metadata"]["labels"].items()
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert (endpoint["port"], endpoint["path"]) == ("admin", "/metrics")
    # So that a metric's own namespace and name are those of the endpoint that it is about.
    assert operator["spec"]["podMetricsEndpoints"][0]["honorLabels"] is True
    assert servers["spec"]["podTargetLabels"] == ["app.kubernetes.io/instance"]
    narrow = render(CASES["pod-monitor-of-namespaces"]).one("PodMonitor")
    assert narrow["spec"]["namespaceSelector"] == {"matchNames": ["home"]}


def ports(rule: Object) -> list[int]:
    return [port["port"] for port in rule["ports"]]


def test_a_network_policy_lets_through_what_is_needed() -> None:
    assert "NetworkPolicy" not in render().kinds
    spec = render(CASES["network-policy"]).one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (ingress,) = spec["ingress"]
    assert (ports(ingress), ingress["from"]) == ([10390], [{"namespaceSelector": {}}])
    dns, server, load = spec["egress"]
    assert (ports(dns), ports(server), ports(load)) == ([53, 53], [443, 6443], [10390])
    assert "to" not in server
    (pods,) = load["to"]
    assert pods["namespaceSelector"] == {}
    assert pods["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/name": "wyoming-stt",
        "app.kubernetes.io/component": "server",
    }


def test_a_network_policy_can_be_narrow() -> None:
    rendered = render(CASES["narrow-network-policy"])
    spec = rendered.one("NetworkPolicy")["spec"]
    (ingress,) = spec["ingress"]
    monitoring, test = ingress["from"]
    assert monitoring == {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    assert test["podSelector"]["matchLabels"].items() <= rendered.one("Pod")["metadata"]["labels"].items()
    dns, server, load, collector, extra = spec["egress"]
    assert [ports(rule) for rule in (dns, server, load, collector, extra)] == [
        [5353, 5353],
        [6443],
        [10390, 10391],
        [4317],
        [8080],
    ]
    assert [peer["ipBlock"]["cidr"] for peer in server["to"]] == ["10.0.0.1/32", "10.0.0.2/32"]
    (expression,) = load["to"][0]["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == ["home"]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://c:4317", 4317), ("http://c.monitoring/", 80), ("http://[fd00::1]:4318", 4318), ("http://[fd00::1]", 80)],
)
def test_the_port_of_the_collector_is_let_through(endpoint: str, port: int) -> None:
    policy = render({"otlp": {"endpoint": endpoint}, "networkPolicy": {"enabled": True}}).one("NetworkPolicy")
    assert ports(policy["spec"]["egress"][3]) == [port]


def test_an_instance_is_a_wyomingstt_with_that_spec() -> None:
    rendered = render(CASES["instances"])
    found = {thing["metadata"]["name"]: thing for thing in rendered.all("WyomingStt")}
    assert {name: thing["spec"] for name, thing in found.items()} == INSTANCES
    for thing in found.values():
        assert thing["apiVersion"] == "wyoming-stt.dev/v1alpha1"
        assert thing["metadata"]["namespace"] == NAMESPACE
        # Not a hook: it is upgraded, rolled back and deleted with the release.
        assert "annotations" not in thing["metadata"]
        assert thing["metadata"]["labels"]["app.kubernetes.io/name"] == "wyoming-stt"
        # Else it would be taken for a child of an endpoint.
        assert thing["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"


def test_null_takes_an_instance_away() -> None:
    rendered = render({"instances": {**INSTANCES, "speech": None}})
    assert {thing["metadata"]["name"] for thing in rendered.all("WyomingStt")} == {"office", "garage", "desk"}
    assert len(rendered.one("Pod")["spec"]["containers"]) == 3


def test_the_definition_comes_before_the_instances() -> None:
    kinds = render(CASES["instances"]).kinds
    assert kinds.index("CustomResourceDefinition") < kinds.index("WyomingStt")


def test_the_test_asks_every_instance_at_its_own_port() -> None:
    pod = render(CASES["instances"]).one("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    commands = {container["name"]: container["command"] for container in pod["spec"]["containers"]}
    assert commands == {
        "speech": ["wyoming-stt", "probe", "speech.speech.svc:10300"],
        "office": ["wyoming-stt", "probe", "office.speech.svc:10400"],
        "garage": ["wyoming-stt", "probe", "garage.speech.svc:10300"],
        "desk": ["wyoming-stt", "probe", "desk.speech.svc:10300"],
    }
    # Tried again while it loads, but not for ever.
    assert (pod["spec"]["restartPolicy"], pod["spec"]["activeDeadlineSeconds"]) == ("OnFailure", 240)
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_the_test_asks_the_operator_when_there_is_no_instance(defaults: Rendered) -> None:
    (container,) = defaults.one("Pod")["spec"]["containers"]
    assert container["command"] == ["wyoming-stt", "probe", "http://wyoming-stt-operator.speech.svc:10390/ready"]
    service = defaults.one("Service")
    assert service["metadata"]["name"] == "wyoming-stt-operator"
    assert service["spec"]["ports"][0]["port"] == 10390


def test_without_anything_to_ask_there_is_no_test() -> None:
    assert "Pod" not in render(CASES["no-metrics-service"]).kinds


def test_only_new_clusters_are_accepted() -> None:
    assert template({}, "--kube-version", "1.33.0").returncode == 0
    assert template({}, "--kube-version", "1.33.4-gke.100").returncode == 0
    run = template({}, "--kube-version", "1.32.9")
    assert run.returncode != 0
    assert "1.33.0" in run.stderr, run.stderr


def test_the_package_works_as_a_part_of_another_chart(tmp_path: Path) -> None:
    parent = tmp_path / "home"
    parent.mkdir()
    (parent / "Chart.yaml").write_text("apiVersion: v2\nname: home\nversion: 1.0.0\n")
    run = helm("package", str(CHART), "--destination", str(parent / "charts"))
    assert run.returncode == 0, run.stderr
    values = {"global": {"imageRegistry": "elsewhere"}, "wyoming-stt": {"instances": INSTANCES, "replicaCount": 2}}
    whole = template(values, chart=parent)
    assert whole.returncode == 0, whole.stderr
    within = {(thing["kind"], thing["metadata"]["name"]) for thing in Rendered(whole.stdout).objects}
    alone = render({"instances": INSTANCES, "replicaCount": 2}).objects
    assert within == {(thing["kind"], thing["metadata"]["name"]) for thing in alone}


def test_the_lease_stands_where_the_objects_are() -> None:
    def leases(*namespaces: str) -> set[tuple[str, str]]:
        """Namespace and name of each lease that the roles allow to write."""
        found = set()
        for role in render({"watchNamespaces": list(namespaces)}).all("Role"):
            rules = [rule for rule in role["rules"] if "update" in rule["verbs"] and "leases" in rule["resources"]]
            found |= {(role["metadata"]["namespace"], name) for rule in rules for name in rule["resourceNames"]}
        return found

    assert leases() == {(NAMESPACE, "wyoming-stt-operator-cluster")}
    assert leases("a", "b") == {("a", "wyoming-stt-operator"), ("b", "wyoming-stt-operator")}
    # Two releases that share a namespace want one lease there, whatever else they watch.
    assert leases("a", "b") & leases("b", "c") == {("b", "wyoming-stt-operator")}
