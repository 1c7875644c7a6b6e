"""What is generated: the chart's copies of the definition and of its schema, its dashboards, manifests/install.yaml,
and docs/alerts.md.

Run by manifests/generate; the chart's tests compare.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dashboards
import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts/wyoming-stt"
DEFINITION = ROOT / "manifests/crd.yaml"

# What JSON Schema has and means the same; the rest is the API server's own (CEL rules, list types, formats).
KEPT = (
    "description",
    "type",
    "enum",
    "default",
    "required",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)

INSTALL_HEAD = """\
# Made from charts/wyoming-stt by manifests/generate; a test compares. With the definition, crd.yaml:
#   kubectl apply --server-side -f crd.yaml -f install.yaml
# Set the images to where yours are.
apiVersion: v1
kind: Namespace
metadata:
  name: wyoming-stt
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def values_schema(definition: str, schema: str) -> str:
    """`schema`, the chart's, with the spec of WyomingStt as `definition` has it now, so that a slip in `instances`
    is found before anything is sent to a cluster."""
    version = yaml.safe_load(definition)["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    values = json.loads(schema)
    # Null takes away what an earlier file of values has.
    values["definitions"]["wyomingSttSpec"] = nullable(strict(spec))
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` as JSON Schema, which refuses what the API server would drop without a word."""
    made = {key: whole(schema[key]) for key in KEPT if key in schema}
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if schema.get("nullable"):
        made = nullable(made)
    if "items" in schema:
        made["items"] = strict(schema["items"])
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        made["additionalProperties"] = strict(extra)
    if "properties" in schema:
        made["properties"] = {name: strict(field) for name, field in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    return made


def whole(value: Any) -> Any:
    """The definition writes bounds as 32.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    made = {**schema, "type": [*types, "null"]}
    if "enum" in schema:
        made["enum"] = [*schema["enum"], None]
    return made


def install_manifest(helm: str) -> str:
    """What the chart makes of its own values, without what only a release of Helm has."""
    command = [helm, "template", "wyoming-stt", str(CHART), "--namespace", "wyoming-stt"]
    command += ["--skip-tests", "--set", "crds.enabled=false"]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    # Releases of Helm differ in empty lines.
    theirs = r"^(# Source: .*|\s+helm\.sh/chart: .*|\s+app\.kubernetes\.io/managed-by: Helm|)\n"
    return INSTALL_HEAD + re.sub(theirs, "", rendered, flags=re.MULTILINE)


ALERTS_HEAD = """\
# Alerts

Made from charts/wyoming-stt/files/alerts.yaml by manifests/generate; a test compares. The chart makes a \
PrometheusRule of them with `metrics.prometheusRule.enabled`; a Prometheus without its operator reads the file as it is, where its \
scrapes set the labels `namespace`, `pod` and `app_kubernetes_io_instance`.
"""


def alerts_page(rules: str) -> str:
    """What each alert means, and what to do."""
    page = [ALERTS_HEAD]
    for group in yaml.safe_load(rules)["groups"]:
        for alert in group["rules"]:
            told = alert["annotations"]
            wait = f", after {alert['for']}" if "for" in alert else ""
            page.append(f"## {alert['alert']}\n")
            page.append(f"**{without_places(told['summary'])}** ({alert['labels']['severity']}{wait})\n")
            page.append(f"{without_places(told['description'])}\n")
            page.append(f"What to do: {told['runbook']}\n")
            page.append(f"```promql\n{alert['expr'].strip()}\n```\n")
    return "\n".join(page)


def without_places(text: str) -> str:
    """`text` with names in the places that Prometheus fills in."""
    text = re.sub(r"\{\{ with [^}]*\}\}.*?\{\{ end \}\}", "", text)
    text = re.sub(r"\{\{ \$labels\.app_kubernetes_io_instance \}\}", "NAME", text)
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: found[1].upper(), text)
    return re.sub(r"\{\{ \$value[^}]*\}\}", "N", text)


def main(helm: str) -> None:
    schema = CHART / "values.schema.json"
    write(CHART / "files/crd.yaml", DEFINITION.read_text())
    write(schema, values_schema(DEFINITION.read_text(), schema.read_text()))
    for name, text in dashboards.files().items():
        write(CHART / "files/dashboards" / name, text)
    write(ROOT / "docs/alerts.md", alerts_page((CHART / "files/alerts.yaml").read_text()))
    write(ROOT / "manifests/install.yaml", install_manifest(helm))


def write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        print(f"written: {os.path.relpath(path, ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1])
