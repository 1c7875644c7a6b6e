"""The chart's dashboards for Grafana, as files/dashboards/NAME.json; manifests/generate writes them, tests compare.

What a panel shows stands here in a line; how Grafana wants it is `model`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# Grafana's own count: what a panel's settings mean. 39 is that of Grafana 10.3, and newer ones read it.
SCHEMA = 39
# Of the 24 columns; two panels stand side by side.
WIDTH, HEIGHT = 12, 8
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One picture: a title, lines by what each is called, and Grafana's name for their unit."""

    title: str
    lines: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    told: str = ""
    is_stacked: bool = False


@dataclass(frozen=True)
class Choice:
    """A list at the top: its name, and where its values are."""

    name: str
    query: str
    label: str
    # Whether several may be chosen, and all are at first.
    is_many: bool = False


@dataclass(frozen=True)
class Dashboard:
    """Panels in the order in which they are read."""

    name: str
    title: str
    told: str
    choices: list[Choice]
    rows: dict[str, list[Panel]] = field(default_factory=dict)


def quantiles(metric: str, by: str, where: str, *parts: float) -> dict[str, str]:
    """Lines for parts of a histogram."""
    rate = f"sum by ({by}) (rate({metric}_bucket{{{where}}}[$__rate_interval]))"
    return {f"p{part * 100:g}": f"histogram_quantile({part}, {rate})" for part in parts}


def rate(metric: str, where: str, by: str = "") -> str:
    """How much a counter grows in a second."""
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}{{{where}}}[$__rate_interval]))"


CHOSEN = 'namespace=~"$namespace"'
ENDPOINT = 'namespace="$namespace", app_kubernetes_io_instance="$endpoint"'
OBJECT = 'namespace="$namespace", name="$endpoint"'
SERVER = 'namespace="$namespace", pod="$pod"'
OF_ENDPOINT = "namespace, app_kubernetes_io_instance"
NAMED = "{{namespace}}/{{app_kubernetes_io_instance}}"
PARTS = rate("stt_answer_seconds_total", ENDPOINT, "part")

FLEET = Dashboard(
    "fleet",
    "wyoming-stt / fleet",
    "All endpoints: whether they are served as declared, their replicas and load, and the operator.",
    [Choice("namespace", "label_values(stt_ready, namespace)", "Namespace", is_many=True)],
    {
        "Endpoints": [
            Panel(
                "Endpoints",
                {
                    "ready": 'sum(stt_operator_objects{ready="true"})',
                    "not ready": 'sum(stt_operator_objects{ready="false"})',
                },
                kind="stat",
            ),
            Panel(
                "Replicas",
                {
                    "ordered": "sum(stt_operator_replicas_desired)",
                    "ready": "sum(stt_operator_replicas_ready)",
                    "on no node": "sum(stt_operator_replicas_unschedulable)",
                    "silent": "sum(stt_operator_replicas_silent)",
                    "sick": "sum(stt_operator_replicas_sick)",
                },
            ),
            Panel(
                "Utterances that wait or run",
                {NAMED: f"sum by ({OF_ENDPOINT}) (stt_queue_waiting{{{CHOSEN}}} + stt_queue_running{{{CHOSEN}}})"},
                is_stacked=True,
            ),
            Panel(
                "Utterances answered",
                {NAMED: rate("stt_finished_utterances_total", CHOSEN, OF_ENDPOINT)},
                unit="reqps",
                is_stacked=True,
            ),
            Panel(
                "Utterances refused", {NAMED: rate("stt_refused_utterances_total", CHOSEN, OF_ENDPOINT)}, unit="reqps"
            ),
            Panel(
                "Wait before recognition, one in twenty",
                {NAMED: quantiles("stt_queue_wait_duration_seconds", f"{OF_ENDPOINT}, le", CHOSEN, 0.95)["p95"]},
                unit="s",
            ),
            Panel(
                "Time that devices are at work",
                {NAMED: f"avg by ({OF_ENDPOINT}) (rate(stt_busy_seconds_total{{{CHOSEN}}}[$__rate_interval]))"},
                unit="percentunit",
                told="Of each replica. Above 70 % utterances wait by chance.",
            ),
            Panel("Errors sent to clients", {"{{code}}": rate("stt_faults_total", CHOSEN, "code")}, unit="reqps"),
        ],
        "Operator": [
            Panel(
                "Operators that lead",
                {"leaders": "sum(stt_operator_leader)"},
                kind="stat",
                told="One, whatever the number of operators is.",
            ),
            Panel(
                "What keeps replicas from the recommendation",
                {"{{limited_by}}": rate("stt_operator_scale_decisions_total", "", "limited_by")},
                unit="ops",
            ),
            Panel(
                "Time of a round", quantiles("stt_operator_reconcile_duration_seconds", "le", "", 0.5, 0.99), unit="s"
            ),
            Panel(
                "Time from asking pods to an order",
                quantiles("stt_operator_scale_duration_seconds", "le", "", 0.5, 0.99),
                unit="s",
            ),
            Panel(
                "Rounds that failed",
                {"{{reason}}": rate("stt_operator_reconcile_errors_total", "", "reason")},
                unit="ops",
            ),
            Panel(
                "Objects written",
                {"{{kind}}": rate("stt_operator_writes_total", "", "kind")},
                unit="wps",
                told="None while nothing changes.",
            ),
        ],
    },
)

CHOOSE_NAMESPACE = Choice("namespace", "label_values(stt_ready, namespace)", "Namespace")

ONE = Dashboard(
    "endpoint",
    "wyoming-stt / endpoint",
    "One endpoint: its replicas, its load, where the time of an answer goes, and what its clients were told.",
    [
        CHOOSE_NAMESPACE,
        Choice("endpoint", 'label_values(stt_ready{namespace="$namespace"}, app_kubernetes_io_instance)', "Endpoint"),
    ],
    {
        "Load": [
            Panel(
                "Replicas",
                {
                    "running": f"count(stt_ready{{{ENDPOINT}}})",
                    "ready": f"sum(stt_ready{{{ENDPOINT}}})",
                    "stopping": f"sum(stt_draining{{{ENDPOINT}}})",
                    "ordered": f"sum(stt_operator_replicas_desired{{{OBJECT}}})",
                    "recommended": f"sum(stt_operator_replicas_recommended{{{OBJECT}}})",
                },
                told="What is ordered is shown with metrics.perObject only.",
            ),
            Panel(
                "Answered within the target",
                {
                    "answered": f"stt_operator_attained_ratio{{{OBJECT}}}",
                    "asked for": f"stt_operator_target_ratio{{{OBJECT}}}",
                },
                unit="percentunit",
                told="Over ten minutes; with autoscaling and metrics.perObject only.",
            ),
            Panel(
                "What the autoscaler has learned",
                {
                    "arrive in a second": f"stt_operator_arrival_rate{{{OBJECT}}}",
                    "one replica finishes in a second": f"stt_operator_service_rate{{{OBJECT}}}",
                },
                unit="reqps",
                told="With autoscaling and metrics.perObject only.",
            ),
            Panel("Start of a replica", {"takes": f"stt_operator_startup_seconds{{{OBJECT}}}"}, unit="s"),
            Panel("What limits the replicas", {"{{limited_by}}": f"stt_operator_limited{{{OBJECT}}}"}, is_stacked=True),
            Panel(
                "Utterances",
                {
                    "wait": f"sum(stt_queue_waiting{{{ENDPOINT}}})",
                    "run": f"sum(stt_queue_running{{{ENDPOINT}}})",
                    "are being spoken": f"sum(stt_open_streams{{{ENDPOINT}}})",
                },
            ),
            Panel(
                "Utterances in a second",
                {
                    "taken": rate("stt_accepted_utterances_total", ENDPOINT),
                    "answered": rate("stt_finished_utterances_total", ENDPOINT),
                    "refused": rate("stt_refused_utterances_total", ENDPOINT),
                    "cancelled": rate("stt_cancelled_utterances_total", ENDPOINT),
                },
                unit="reqps",
            ),
            Panel(
                "Time that the devices are at work",
                {"{{pod}}": f"rate(stt_busy_seconds_total{{{ENDPOINT}}}[$__rate_interval])"},
                unit="percentunit",
            ),
        ],
        "Time": [
            Panel(
                "Wait before recognition",
                quantiles("stt_queue_wait_duration_seconds", "le", ENDPOINT, 0.5, 0.95, 0.99),
                unit="s",
            ),
            Panel(
                "Recognition", quantiles("stt_transcribe_duration_seconds", "le", ENDPOINT, 0.5, 0.95, 0.99), unit="s"
            ),
            Panel(
                "Where the time of an answer goes",
                {"{{part}}": f"{PARTS} / on () group_left () {rate('stt_utterances_total', ENDPOINT)}"},
                unit="s",
                told="From the end of the audio to the words, mean of all utterances.",
                is_stacked=True,
            ),
            Panel(
                "Length of utterances", quantiles("stt_utterance_audio_seconds", "le", ENDPOINT, 0.5, 0.95), unit="s"
            ),
            Panel("Recognised together", quantiles("stt_batch_size", "le", ENDPOINT, 0.5, 0.95)),
            Panel(
                "Load of the model", quantiles("stt_model_load_duration_seconds", "le", ENDPOINT, 0.5, 0.95), unit="s"
            ),
        ],
        "Answers": [
            Panel("Errors sent to clients", {"{{code}}": rate("stt_faults_total", ENDPOINT, "code")}, unit="reqps"),
            Panel(
                "Languages",
                {"{{language}}": rate("stt_utterances_total", ENDPOINT, "language")},
                unit="reqps",
                is_stacked=True,
            ),
            Panel(
                "HTTP requests",
                {"{{route}} {{status}}": rate("stt_http_requests_total", ENDPOINT, "route, status")},
                unit="reqps",
            ),
            Panel(
                "Text that was withheld",
                {"{{reason}}": rate("stt_withheld_texts_total", ENDPOINT, "reason")},
                unit="ops",
            ),
        ],
    },
)

SERVERS = Dashboard(
    "server",
    "wyoming-stt / server",
    "One replica: what it does now, and how fast.",
    [CHOOSE_NAMESPACE, Choice("pod", 'label_values(stt_ready{namespace="$namespace"}, pod)', "Pod")],
    {
        "Now": [
            Panel(
                "Build and model", {"{{model}} {{version}} {{revision}}": f"stt_build_info{{{SERVER}}}"}, kind="stat"
            ),
            Panel("State", {"ready": f"stt_ready{{{SERVER}}}", "stopping": f"stt_draining{{{SERVER}}}"}),
            Panel(
                "Utterances",
                {
                    "wait": f"stt_queue_waiting{{{SERVER}}}",
                    "run": f"stt_queue_running{{{SERVER}}}",
                    "are being spoken": f"stt_open_streams{{{SERVER}}}",
                },
            ),
            Panel(
                "Longest wait, audio that waits",
                {
                    "oldest": f"stt_queue_oldest_wait_seconds{{{SERVER}}}",
                    "audio": f"stt_queue_waiting_audio_seconds{{{SERVER}}}",
                },
                unit="s",
            ),
            Panel(
                "Connections",
                {
                    "open": f"stt_open_connections{{{SERVER}}}",
                    "new in a second": rate("stt_connections_total", SERVER),
                    "describe in a second": rate("stt_describes_total", SERVER),
                },
            ),
            Panel("Names to expect", {"{{source}}": f"stt_names{{{SERVER}}}"}),
        ],
        "Speed": [
            Panel(
                "Time that the device is at work",
                {"at work": f"rate(stt_busy_seconds_total{{{SERVER}}}[$__rate_interval])"},
                unit="percentunit",
            ),
            Panel("Recognition over length of audio", quantiles("stt_real_time_factor", "le", SERVER, 0.5, 0.95)),
            Panel(
                "Wait before recognition",
                quantiles("stt_queue_wait_duration_seconds", "le", SERVER, 0.5, 0.95),
                unit="s",
            ),
            Panel("Recognition", quantiles("stt_transcribe_duration_seconds", "le", SERVER, 0.5, 0.95), unit="s"),
            Panel(
                "Begun at a pause",
                {
                    "begun": rate("stt_speculations_started_total", SERVER),
                    "adopted": rate("stt_speculations_adopted_total", SERVER),
                    "discarded": rate("stt_speculations_discarded_total", SERVER),
                },
                unit="ops",
            ),
            Panel(
                "Time of the device on these",
                {"{{outcome}}": rate("stt_speculation_busy_seconds_total", SERVER, "outcome")},
                unit="percentunit",
            ),
            Panel(
                "Batches lost to a panic",
                {"lost": f"increase(stt_recognition_panics_total{{{SERVER}}}[$__rate_interval])"},
            ),
            Panel("Errors sent to clients", {"{{code}}": rate("stt_faults_total", SERVER, "code")}, unit="reqps"),
        ],
    },
)

ALL = (FLEET, ONE, SERVERS)


def model(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana has it."""
    return {
        "uid": f"wyoming-stt-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.told,
        "tags": ["wyoming-stt"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [
            {
                "type": "dashboards",
                "title": "wyoming-stt",
                "tags": ["wyoming-stt"],
                "keepTime": True,
                "asDropdown": True,
            }
        ],
        "templating": {"list": [source(), *map(choice, dashboard.choices)]},
        "panels": list(panels(dashboard)),
    }


def source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}


def choice(given: Choice) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": given.name,
        "label": given.label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": given.query, "refId": "values"},
        "refresh": 2,
        "sort": 1,
        "multi": given.is_many,
        "includeAll": given.is_many,
    }
    if given.is_many:
        made["allValue"] = ".*"
        made["current"] = {"text": ["All"], "value": ["$__all"]}
    return made


def panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    """Rows with their panels below them, two in a line."""
    number, top = 0, 0
    for title, shown in dashboard.rows.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
        }
        top += 1
        for index, given in enumerate(shown):
            number += 1
            place = {"x": index % 2 * WIDTH, "y": top + index // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT}
            yield {"id": number, "gridPos": place, **picture(given)}
        top += (len(shown) + 1) // 2 * HEIGHT


def picture(given: Panel) -> dict[str, Any]:
    custom = {"fillOpacity": 20, "stacking": {"mode": "normal"}} if given.is_stacked else {"fillOpacity": 0}
    defaults: dict[str, Any] = {"unit": given.unit, "min": 0}
    if given.kind == "timeseries":
        defaults["custom"] = {**custom, "showPoints": "never"}
        options: dict[str, Any] = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    else:
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name", "colorMode": "none"}
    return {
        "type": given.kind,
        "title": given.title,
        "description": given.told,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expr, "legendFormat": name}
            for index, (name, expr) in enumerate(given.lines.items())
        ],
    }


def files() -> dict[str, str]:
    """Each file's text by its name."""
    return {f"{each.name}.json": json.dumps(model(each), indent=1) + "\n" for each in ALL}
