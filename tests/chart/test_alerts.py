"""Alerts and dashboards: read by Prometheus' own tool, and held to the metrics that the programs have."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dashboards
import pytest
import yaml
from cases import CASES
from rendering import CHART, ROOT, Object, refusal, render

ALERTS = CHART / "files/alerts.yaml"
HERE = Path(__file__).resolve().parent
# What the chart's PodMonitors, Prometheus and its kubernetes discovery put on every series.
OF_TARGETS = {"namespace", "pod", "app_kubernetes_io_instance", "job", "instance", "container", "le", "__name__"}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([os.environ["PROMTOOL"], *arguments], capture_output=True, text=True, timeout=60)


def alerts(groups: list[Object]) -> dict[str, Object]:
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


WRITTEN = alerts(yaml.safe_load(ALERTS.read_text())["groups"])


def test_prometheus_reads_the_alerts() -> None:
    run = promtool("check", "rules", str(ALERTS))
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(WRITTEN)} rules found" in run.stdout, run.stdout


def test_alerts_fire_when_they_should_and_not_before() -> None:
    run = promtool("test", "rules", str(HERE / "alerts_test.yaml"))
    assert run.returncode == 0, run.stdout + run.stderr
    # Each has fired in it.
    tried = (HERE / "alerts_test.yaml").read_text()
    assert not [name for name in WRITTEN if f'alertname="{name}"' not in tried]


@pytest.mark.parametrize("name", WRITTEN)
def test_every_alert_says_what_it_is_and_what_to_do(name: str) -> None:
    alert = WRITTEN[name]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    for word in ("summary", "description", "runbook"):
        assert len(alert["annotations"][word]) > 20, word
    assert f"## {name}\n" in (ROOT / "docs/alerts.md").read_text()


def test_the_rule_has_the_alerts_but_for_those_that_are_left_out() -> None:
    assert "PrometheusRule" not in render().kinds
    rule = render(CASES["alerts-and-dashboards"]).one("PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    made = alerts(rule["spec"]["groups"])
    assert set(made) == set(WRITTEN) - {"WyomingSttNoLeader"}
    for name, alert in made.items():
        assert alert["labels"] == {**WRITTEN[name]["labels"], "team": "voice"}
        assert {**alert, "labels": {}} == {**WRITTEN[name], "labels": {}}
    said = refusal({"metrics": {"prometheusRule": {"enabled": True, "disabled": ["WyomingSttSlows"]}}})
    assert "there is no alert WyomingSttSlows" in said and "WyomingSttSlow" in said


def test_dashboards_are_found_by_grafanas_sidecar() -> None:
    assert "ConfigMap" not in render().kinds
    made = render(CASES["alerts-and-dashboards"]).all("ConfigMap")
    assert len(made) == 3
    for thing in made:
        assert thing["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert thing["metadata"]["annotations"]["grafana_folder"] == "Speech"
        ((name, text),) = thing["data"].items()
        assert name.startswith("wyoming-stt-") and name.endswith(".json")
        assert json.loads(text) == json.loads(dashboards.files()[name.removeprefix("wyoming-stt-")])


def shown(dashboard: dashboards.Dashboard) -> Iterator[tuple[str, str]]:
    for panels in dashboard.rows.values():
        for panel in panels:
            for line, expr in panel.lines.items():
                yield f"{dashboard.name}: {panel.title}: {line}", expr


def asked() -> list[tuple[str, str]]:
    """Every question to Prometheus, by where it stands."""
    found = [(name, alert["expr"]) for name, alert in WRITTEN.items()]
    for dashboard in dashboards.ALL:
        found += shown(dashboard)
        found += [(f"{dashboard.name}: {each.name}", each.query) for each in dashboard.choices]
    keda = yaml.safe_load((ROOT / "manifests/scaling/keda.yaml").read_text())
    return found + [(f"keda {index}", each["metadata"]["query"]) for index, each in enumerate(keda["spec"]["triggers"])]


def test_every_line_of_a_dashboard_is_promql(tmp_path: Path) -> None:
    filled = {"$__rate_interval": "5m", "$namespace": "home", "$endpoint": "speech", "$pod": "a"}
    rules = []
    for _, expr in (line for dashboard in dashboards.ALL for line in shown(dashboard)):
        for name, value in filled.items():
            expr = expr.replace(name, value)
        rules.append({"record": f"line:{len(rules)}", "expr": expr})
    assert len(rules) > 60
    file = tmp_path / "lines.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "lines", "rules": rules}]}))
    run = promtool("check", "rules", str(file))
    assert run.returncode == 0, run.stdout + run.stderr


def exported() -> dict[str, dict[str, set[str]]]:
    """Labels and their values of every metric, as the programs' own tests wrote them down."""
    found: dict[str, dict[str, set[str]]] = {}
    for page in (HERE / "pages").glob("*.txt"):
        for line in page.read_text().splitlines():
            if line.startswith("#"):
                continue
            name, _, labels = line.partition("{")
            of_metric = found.setdefault(name, {})
            for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
                of_metric.setdefault(label, set()).add(value)
    return found


EXPORTED = exported()


def faults(expr: str) -> Iterator[str]:
    """Metrics and labels of a question that no program has."""
    used = re.findall(r"\b(stt_\w+)(?:\{([^}]*)\})?", expr)
    for name, selector in used:
        if name not in EXPORTED:
            yield f"no metric {name}"
            continue
        for label, how, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', selector):
            if label in OF_TARGETS or (name.startswith("stt_operator_") and label == "name"):
                continue
            if label not in EXPORTED[name]:
                yield f"{name} has no label {label}"
            elif how == "=" and value not in EXPORTED[name][label]:
                yield f"{name}: {label} is never {value}"
    known = OF_TARGETS.union(*(EXPORTED.get(name, {}) for name, _ in used))
    for group in re.findall(r"\bby \(([^)]*)\)", expr):
        for label in group.split(","):
            if label.strip() not in known:
                yield f"nothing in {expr} has a label {label.strip()}"


@pytest.mark.parametrize(("where", "expr"), asked(), ids=[where for where, _ in asked()])
def test_questions_name_metrics_and_labels_that_the_programs_have(where: str, expr: str) -> None:
    assert re.search(r"\bstt_", expr), where
    assert not list(faults(expr))


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("stt_queue_waits", "no metric stt_queue_waits"),
        ('stt_faults_total{reason="deadline"}', "stt_faults_total has no label reason"),
        ('stt_faults_total{code="dead-line"}', "stt_faults_total: code is never dead-line"),
        ("sum by (endpoint) (stt_ready)", "nothing in sum by (endpoint) (stt_ready) has a label endpoint"),
    ],
)
def test_an_unknown_name_is_found(expr: str, fault: str) -> None:
    assert list(faults(expr)) == [fault]


def test_legends_name_labels_that_their_lines_have() -> None:
    for dashboard in dashboards.ALL:
        for where, expr in shown(dashboard):
            grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expr) for label in group.split(",")}
            for label in re.findall(r"\{\{(\w+)\}\}", where):
                metrics = re.findall(r"\bstt_\w+", expr)
                own = OF_TARGETS.union(*(EXPORTED[name] for name in metrics))
                assert label in (grouped or own), f"{where}: {expr}"


def test_panels_have_places_of_their_own() -> None:
    for dashboard in dashboards.ALL:
        made: dict[str, Any] = dashboards.model(dashboard)
        numbers = [panel["id"] for panel in made["panels"]]
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made["panels"]]
        assert len(numbers) == len(set(numbers)) and len(places) == len(set(places))
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in made["panels"])
