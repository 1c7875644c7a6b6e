"""The definition of WyomingStt on a real API server: no operator runs here."""

import re
from pathlib import Path

import pytest
import yaml

from kit.api import Api, Object, Refused
from kit.cluster import ROOT, Cluster, examples
from kit.objects import assert_condition, condition, stt

# Where most is only tried, not made.
SHARED = "definition"
CASES = sorted((ROOT / "crates/operator/src/api/cases").glob("*.yaml"))


@pytest.fixture(scope="module")
def shared_namespace(api: Api) -> str:
    """A namespace for what is only tried."""
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHARED}})
    return SHARED


def test_the_definition_is_structural_and_established(api: Api) -> None:
    definition = api.get("CustomResourceDefinition", "wyomingstts.wyoming-stt.dev")
    assert_condition(definition, "Established", "True")
    assert_condition(definition, "NamesAccepted", "True")
    assert condition(definition, "NonStructuralSchema")["status"] in ("Missing", "False")
    # What the server does not know it drops without a word.
    written = yaml.safe_load((ROOT / "manifests/crd.yaml").read_text())
    assert _rules(definition["spec"]) == _rules(written["spec"])
    assert _rules(written["spec"])


def _rules(value: object) -> list[str]:
    """The rules of a schema, by their text."""
    if isinstance(value, dict):
        own = [rule["rule"] for rule in value.get("x-kubernetes-validations", [])]
        return own + [rule for field in value.values() for rule in _rules(field)]
    if isinstance(value, list):
        return [rule for item in value for rule in _rules(item)]
    return []


def test_a_minimal_object_gets_its_defaults(api: Api, namespace: str) -> None:
    made = api.create(stt(namespace, autoscaling={"maxReplicas": 3}), dry_run=True)
    spec = made["spec"]
    assert spec["capacity"] == {"maxQueue": 16, "queueTimeoutSeconds": 25}
    assert spec["device"] == {"type": "Cpu"}
    assert spec["lifecycle"] == {"startupTimeoutSeconds": 600, "terminationGracePeriodSeconds": 60}
    assert spec["service"] == {"type": "ClusterIP", "port": 10300}
    assert spec["telemetry"]["adminPort"] == 10390
    assert spec["disruption"] == {"maxUnavailable": 1}
    assert spec["managementState"] == "Managed"
    assert spec["networkPolicy"] == {"mode": "Disabled"}
    # The scale subresource cannot be read without it, and a HorizontalPodAutoscaler reads it first.
    assert spec["replicas"] == 1
    autoscaling = spec["autoscaling"]
    assert (autoscaling["minReplicas"], autoscaling["maxPendingReplicas"], autoscaling["drainTargetSeconds"]) == (
        1,
        1,
        60,
    )
    assert autoscaling["scaleUp"] == {"stabilizationSeconds": 0, "maxReplicasPerStep": 4, "stepSeconds": 15}
    assert autoscaling["scaleDown"] == {"maxPercentPerStep": 25, "stepSeconds": 60}


def test_unknown_fields_are_dropped_or_refused_as_the_client_asks(api: Api, namespace: str) -> None:
    misspelt = stt(namespace, modell={"name": "base"}, capacity={"maxQueues": 3})
    made = api.create(misspelt, dry_run=True)
    assert "modell" not in made["spec"]
    assert made["spec"]["capacity"] == {"maxQueue": 16, "queueTimeoutSeconds": 25}
    with pytest.raises(Refused, match="spec.capacity.maxQueues") as refusal:
        api.create(misspelt, dry_run=True, strict=True)
    assert "spec.modell" in refusal.value.message


def test_a_pod_template_is_kept_as_it_was_written(api: Api, namespace: str) -> None:
    template = {"metadata": {"labels": {"team": "voice"}}, "spec": {"anything": [{"at": "all"}]}}
    made = api.create(stt(namespace, podTemplate=template), dry_run=True, strict=True)
    assert made["spec"]["podTemplate"] == template


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"model": {}}, "spec.model.name: Required value"),
        ({"model": {"name": "a b"}}, "spec.model.name in body should match"),
        ({"replicas": -1}, "spec.replicas in body should be greater than or equal to 0"),
        ({"replicas": 1001}, "should be less than or equal to 1000"),
        ({"device": {"type": "Tpu"}}, "Unsupported value"),
        ({"device": {"type": "Cuda", "gpu": {"count": 9}}}, "should be less than or equal to 8"),
        ({"autoscaling": {}}, "spec.autoscaling.maxReplicas: Required value"),
        ({"autoscaling": {"minReplicas": 0, "maxReplicas": 3}}, "must be at least 1"),
        ({"capacity": {"maxQueue": "many"}}, "must be of type integer"),
        ({"capacity": {"maxQueue": 1.5}}, "must be of type integer"),
        ({"language": {"default": "Deutsch"}}, "spec.language.default"),
        ({"language": {"allowed": ["de", "de"]}}, "Duplicate value"),
        ({"service": {"port": 70000}}, "less than or equal to 65535"),
        ({"cache": {"emptyDir": {"sizeLimit": "big"}}}, "sizeLimit in body should match"),
        ({"disruption": {"maxUnavailable": "half"}}, "spec.disruption.maxUnavailable"),
        ({"lifecycle": {"startupTimeoutSeconds": 5}}, "greater than or equal to 10"),
        ({"podTemplate": "none"}, "must be of type object"),
    ],
)
def test_values_out_of_bounds_are_refused(api: Api, shared_namespace: str, spec: Object, words: str) -> None:
    with pytest.raises(Refused, match=re.escape(words)):
        api.create(stt(shared_namespace, **spec), dry_run=True)


def _case(file: Path) -> tuple[str, str, str, list[Object]]:
    """The rule, whether it is to be accepted, the words of a refusal, and one document or an old and a new one."""
    text = file.read_text()
    rule = re.search(r"^# rule: (.+)$", text, re.MULTILINE)
    expectation = re.search(r"^# expect: (accept|reject)(?: (.+))?$", text, re.MULTILINE)
    assert rule and expectation, f"{file.name} does not say `# rule:` and `# expect:`"
    return rule[1], expectation[1], expectation[2] or "", [each for each in yaml.safe_load_all(text) if each]


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_each_rule_accepts_and_refuses(api: Api, shared_namespace: str, file: Path) -> None:
    _, expected, words, documents = _case(file)
    for document in documents:
        document["metadata"]["namespace"] = shared_namespace
    *before, wanted = documents

    def send() -> None:
        if before:
            for document in documents:
                document["metadata"]["name"] = file.stem
            old = api.create(before[0])
            wanted["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            try:
                api.replace(wanted, dry_run=True)
            finally:
                api.delete("WyomingStt", file.stem, shared_namespace)
        else:
            api.create(wanted, dry_run=True)

    if expected == "accept":
        send()
    else:
        with pytest.raises(Refused) as refusal:
            send()
        assert refusal.value.code == 422, refusal.value
        assert words and words in refusal.value.message


def test_every_rule_of_the_definition_has_cases(api: Api) -> None:
    definition = api.get("CustomResourceDefinition", "wyomingstts.wyoming-stt.dev")
    cases = [_case(file) for file in CASES]
    refusals = [words for _, expected, words, _ in cases if expected == "reject"]
    messages = _messages(definition["spec"])
    assert messages
    untried = [message for message in messages if not any(words in message for words in refusals)]
    assert not untried, "no case is refused by these rules"
    accepted = {rule for rule, expected, _, _ in cases if expected == "accept"}
    refused = {rule for rule, expected, _, _ in cases if expected == "reject"}
    assert accepted == refused, "each rule needs a case that it accepts and one that it refuses"


def _messages(value: object) -> list[str]:
    """What the rules of a schema say when they refuse."""
    if isinstance(value, dict):
        own = [rule["message"] for rule in value.get("x-kubernetes-validations", [])]
        return own + [message for field in value.values() for message in _messages(field)]
    if isinstance(value, list):
        return [message for item in value for message in _messages(item)]
    return []


@pytest.mark.parametrize("name", sorted(examples()))
def test_examples_are_accepted_as_they_are(api: Api, shared_namespace: str, name: str) -> None:
    example = examples()[name]
    example["metadata"]["namespace"] = shared_namespace
    api.create(example, dry_run=True, strict=True)


def test_kubectl_shows_columns_by_any_of_its_names(cluster: Cluster, api: Api, namespace: str) -> None:
    api.create(stt(namespace))
    now = {
        "type": "Ready",
        "status": "True",
        "reason": "Reconciled",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {"replicas": 3, "readyReplicas": 2, "conditions": [now], "endpoint": {"host": "speech.svc", "port": 10300}}
    api.patch("WyomingStt", "speech", namespace, {"status": status}, subresource="status")
    for name in ("wstt", "wyomingstt", "wyomingstts", "wyoming"):
        header, row = cluster.kubectl("get", name, "--namespace", namespace).splitlines()
        assert header.split() == ["NAME", "MODEL", "DEVICE", "REPLICAS", "AVAILABLE", "QUEUE", "READY", "REASON", "AGE"]
        cells = dict(zip(header.split(), _cells(header, row), strict=True))
        assert cells["NAME"].endswith("speech")
        assert (cells["MODEL"], cells["DEVICE"], cells["REPLICAS"], cells["AVAILABLE"]) == ("demo", "Cpu", "3", "2")
        assert (cells["QUEUE"], cells["READY"], cells["REASON"]) == ("", "True", "Reconciled")
    wide = cluster.kubectl("get", "wstt", "--namespace", namespace, "--output", "wide")
    assert wide.splitlines()[0].split()[-1] == "ENDPOINT"
    assert wide.splitlines()[1].split()[-1] == "speech.svc"


def _cells(header: str, row: str) -> list[str]:
    """The cells of a row below their heads; a cell may be empty."""
    starts = [match.start() for match in re.finditer(r"\S+", header)]
    return [row[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]


def test_kubectl_explains_fields(cluster: Cluster, namespace: str) -> None:
    told = cluster.kubectl("explain", "wstt.spec.autoscaling.targetQueueDepth")
    assert "FIELD: targetQueueDepth <integer>" in told
    assert "Utterances, waiting and running, for each replica" in told
    assert "maxReplicas\t<integer> -required-" in cluster.kubectl("explain", "wyomingstts.spec.autoscaling")


def test_status_and_spec_are_written_apart(api: Api, namespace: str) -> None:
    made = api.create(stt(namespace, replicas=2) | {"status": {"replicas": 9}})
    assert "status" not in made, "a status came with the spec"
    told = api.patch(
        "WyomingStt", "speech", namespace, {"spec": {"replicas": 5}, "status": {"replicas": 1}}, subresource="status"
    )
    assert told["spec"]["replicas"] == 2, "a spec came with the status"
    assert told["metadata"]["generation"] == 1
    assert told["status"]["replicas"] == 1


def test_conditions_of_two_managers_are_kept_apart_by_type(api: Api, namespace: str) -> None:
    api.create(stt(namespace))

    def condition(type_: str) -> Object:
        entry = {
            "type": type_,
            "status": "True",
            "reason": "Told",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        identity = {key: stt(namespace)[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "speech"}}
        return identity | {"status": {"conditions": [entry]}}

    path = f"apis/wyoming-stt.dev/v1alpha1/namespaces/{namespace}/wyomingstts/speech/status"
    for manager, type_ in (("one", "First"), ("two", "Second")):
        query = {"fieldManager": manager, "force": "true"}
        api.send("PATCH", path, condition(type_), query=query, media="application/apply-patch+yaml")
    conditions = api.get("WyomingStt", "speech", namespace)["status"]["conditions"]
    assert [each["type"] for each in conditions] == ["First", "Second"]


def test_the_scale_subresource_maps_replicas_and_selector(cluster: Cluster, api: Api, namespace: str) -> None:
    api.create(stt(namespace, replicas=2))
    api.patch("WyomingStt", "speech", namespace, {"status": {"replicas": 1, "selector": "a=b"}}, subresource="status")
    cluster.kubectl("scale", "wstt/speech", "--replicas", "4", "--namespace", namespace)
    scale = api.get("WyomingStt", "speech", namespace, subresource="scale")
    assert scale["spec"]["replicas"] == 4
    assert scale["status"] == {"replicas": 1, "selector": "a=b"}
    assert api.get("WyomingStt", "speech", namespace)["spec"]["replicas"] == 4


def test_a_scale_request_cannot_go_around_the_rules(api: Api, namespace: str) -> None:
    api.create(stt(namespace, autoscaling={"maxReplicas": 3}))
    with pytest.raises(Refused):
        api.patch("WyomingStt", "speech", namespace, {"spec": {"replicas": 2}}, subresource="scale")
    assert api.get("WyomingStt", "speech", namespace)["spec"]["replicas"] == 1


def test_the_scale_subresource_can_be_read_where_no_replicas_were_given(api: Api, namespace: str) -> None:
    api.create(stt(namespace))
    assert api.get("WyomingStt", "speech", namespace, subresource="scale")["spec"]["replicas"] == 1
