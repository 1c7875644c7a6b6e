"""What the schema refuses, and in which words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from rendering import CHART, ROOT, Values, refusal, render

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicaCounts": 2}, ["replicaCounts"]),
        ({"image": {"name": "x"}}, ["image", "name"]),
        ({"imageRegistry": "a b"}, ["imageRegistry"]),
        ({"image": {"digest": "sha256:12"}}, ["image", "digest"]),
        ({"image": {"pullPolicy": "Sometimes"}}, ["pullPolicy", "IfNotPresent"]),
        ({"servers": {"gpuImage": {}}}, ["servers", "gpuImage"]),
        ({"servers": {"image": {"repository": "a@b"}}}, ["servers/image/repository"]),
        ({"servers": {"allowHostPath": "yes"}}, ["allowHostPath", "boolean"]),
        ({"watchNamespaces": "home"}, ["watchNamespaces", "array"]),
        ({"watchNamespaces": ["Home"]}, ["watchNamespaces/0"]),
        ({"watchNamespaces": ["a", "a"]}, ["watchNamespaces"]),
        ({"crds": {"enable": True}}, ["crds", "enable"]),
        ({"admissionPolicy": {"enabled": "yes"}}, ["admissionPolicy/enabled", "boolean"]),
        ({"livenessProbe": {"httpGet": {}}}, ["livenessProbe", "httpGet"]),
        ({"readinessProbe": {"periodSeconds": 0}}, ["readinessProbe/periodSeconds"]),
        ({"extraVolumes": [{"configMap": {}}]}, ["extraVolumes/0", "name"]),
        ({"extraVolumeMounts": [{"name": "a", "mountPath": "etc"}]}, ["extraVolumeMounts/0/mountPath"]),
        ({"hostAliases": [{"hostnames": ["a"]}]}, ["hostAliases/0", "ip"]),
        ({"maxRollouts": -1}, ["maxRollouts"]),
        ({"metrics": {"prometheusRule": {"disabled": ["HighLoad"]}}}, ["prometheusRule/disabled/0"]),
        ({"metrics": {"dashboards": {"label": "x"}}}, ["metrics/dashboards", "label"]),
        ({"global": {"imageRegistry": 3}}, ["global/imageRegistry"]),
        ({"rbac": {"createe": True}}, ["rbac", "createe"]),
        ({"serviceAccount": {"automount": True}}, ["serviceAccount", "automount"]),
        ({"replicaCount": "2"}, ["replicaCount", "integer"]),
        ({"replicaCount": -1}, ["replicaCount"]),
        ({"replicaCount": 1.5}, ["replicaCount", "integer"]),
        ({"podDisruptionBudget": {"minAvailable": 1}}, ["minAvailable"]),
        ({"podDisruptionBudget": {"maxUnavailable": 0}}, ["maxUnavailable"]),
        ({"resources": {"limit": {}}}, ["resources", "limit"]),
        ({"resources": {"limits": {"memory": "256 MB"}}}, ["resources/limits/memory"]),
        ({"logging": {"level": "info"}}, ["logging", "level"]),
        ({"logging": {"format": "yaml"}}, ["logging/format", "json"]),
        ({"otlp": {"endpoint": "collector:4317"}}, ["otlp/endpoint", "http"]),
        ({"metrics": {"serviceMonitor": {}}}, ["metrics", "serviceMonitor"]),
        ({"metrics": {"podMonitor": {"interval": "often"}}}, ["metrics/podMonitor/interval"]),
        ({"networkPolicy": {"egress": []}}, ["networkPolicy", "egress"]),
        ({"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}}, ["networkPolicy/apiServer/cidrs/0"]),
        ({"networkPolicy": {"ingressFrom": [{"pods": {}}]}}, ["ingressFrom/0", "pods"]),
        ({"networkPolicy": {"serverAdminPorts": [0]}}, ["serverAdminPorts/0"]),
        ({"commonLabels": {"a": 1}}, ["commonLabels/a", "string"]),
        ({"commonLabels": {"a": "b c"}}, ["commonLabels/a"]),
        ({"extraArgs": "--log debug"}, ["extraArgs", "array"]),
        ({"extraEnv": [{"value": "x"}]}, ["extraEnv/0", "name"]),
        ({"extraEnv": {"A": "b"}}, ["extraEnv", "array"]),
        ({"tolerations": [{"effects": "NoSchedule"}]}, ["tolerations/0", "effects"]),
        ({"affinity": {"podAfinity": {}}}, ["affinity", "podAfinity"]),
        ({"topologySpreadConstraints": [{"maxSkew": 1}]}, ["topologySpreadConstraints/0", "topologyKey"]),
        ({"securityContext": {"priviledged": True}}, ["securityContext", "priviledged"]),
        ({"podSecurityContext": {"runAsUser": "root"}}, ["podSecurityContext/runAsUser"]),
        ({"fullnameOverride": "Ears"}, ["fullnameOverride"]),
        ({"test": {"timeoutSeconds": 1}}, ["test/timeoutSeconds"]),
        ({"instances": []}, ["instances", "object"]),
        ({"instances": {"Speech": {"model": {"name": "base"}}}}, ["instances: Speech", "lower case letters"]),
        ({"instances": {"a" * 41: {"model": {"name": "base"}}}}, ["instances: aaa", "40 characters at most"]),
        ({"instances": {"speech": {}}}, ["instances/speech", "model"]),
        ({"instances": {"speech": {"model": "base"}}}, ["instances/speech/model", "object"]),
        ({"instances": {"speech": {"modle": {}, "model": {"name": "base"}}}}, ["instances/speech", "modle"]),
        (
            {"instances": {"speech": {"model": {"name": "base"}, "device": {"type": "GPU"}}}},
            ["instances/speech/device/type", "Cuda"],
        ),
        (
            {"instances": {"speech": {"model": {"name": "base"}, "autoscaling": {"max": 3}}}},
            ["instances/speech/autoscaling", "max"],
        ),
        (
            {"instances": {"speech": {"model": {"name": "base"}, "replicas": 1001}}},
            ["instances/speech/replicas", "1,000"],
        ),
    ],
)
def test_a_slip_is_refused_where_it_is(values: Values, words: list[str]) -> None:
    said = refusal(values)
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"watchNamespaces": ["home"], "instances": {"speech": {"model": {"name": "base"}}}},
            "instances are made in the release's namespace speech, which watchNamespaces (home) does not have",
        ),
        (
            {"extraEnv": [{"name": "OPERATOR_LOG", "value": "debug"}]},
            "extraEnv: OPERATOR_LOG is set by the chart",
        ),
        ({"replicas": 2}, "replicas is called replicaCount now"),
        ({"crds": {"install": False}}, "crds.install is called crds.enabled now"),
    ],
)
def test_what_cannot_work_together_is_refused_in_words(values: Values, words: str) -> None:
    assert words in refusal(values)


@pytest.mark.parametrize("example", sorted((ROOT / "manifests/examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_an_instance(example: Any) -> None:
    spec = yaml.safe_load(example.read_text())["spec"]
    assert render({"instances": {"speech": spec}}).one("WyomingStt")["spec"] == spec


def objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of an object that names its fields."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and "additionalProperties" in schema | {"type": ""}:
            yield path, schema
        for name, part in schema.items():
            yield from objects(part, f"{path}/{name}")


def test_no_level_takes_what_it_does_not_know() -> None:
    named = list(objects(SCHEMA))
    assert len(named) > 40
    for path, schema in named:
        assert schema.get("additionalProperties") is False, path


def test_every_value_is_described() -> None:
    for path, schema in objects(SCHEMA):
        if path.startswith("/definitions/"):
            continue
        for name, field in schema["properties"].items():
            definition = SCHEMA["definitions"].get(field.get("$ref", "").rsplit("/", 1)[-1], {})
            assert field.get("description") or definition.get("description"), f"{path}/{name}"


def test_every_value_of_the_schema_has_a_default_to_see() -> None:
    def check(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        for name, field in schema["properties"].items():
            if name in ("global", "claims") or path == "/affinity" or field.get("deprecated"):
                continue
            assert name in values, f"{path}/{name} is not in values.yaml"
            if "properties" in field:
                check(field, values[name], f"{path}/{name}")

    check(SCHEMA, VALUES, "")


def test_a_parent_chart_may_bring_globals() -> None:
    assert render({"global": {"imageRegistry": "x"}}).objects


def test_the_readme_has_every_value() -> None:
    table = (CHART / "README.md").read_text().split("## Values")[1]

    def check(schema: dict[str, Any], path: str) -> None:
        for name, field in schema["properties"].items():
            if name in ("global", "claims") or field.get("deprecated"):
                continue
            where = f"{path}.{name}" if path else name
            is_whole = where in ("affinity", "podSecurityContext", "securityContext")
            if "properties" in field and not is_whole:
                check(field, where)
            else:
                last = where.rsplit(".", 1)[-1]
                assert f"`{where}`" in table or f"`.{last}`" in table, f"{where} is not in the README"

    check(SCHEMA, "")
