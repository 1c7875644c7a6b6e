"""What Helm makes of the chart."""

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/wyoming-stt"
RELEASE = "wyoming-stt"
NAMESPACE = "speech"
# The longest that one call of helm may take.
PATIENCE = 60.0

Object = dict[str, Any]
Values = dict[str, Any]


def helm(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs helm."""
    command = [os.environ["HELM"], *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=PATIENCE)


def template(
    values: Values, *flags: str, release: str = RELEASE, chart: Path = CHART
) -> subprocess.CompletedProcess[str]:
    """`helm template` with `values`, its outcome not judged."""
    arguments = ["template", release, str(chart), "--namespace", NAMESPACE, "--values", "-", *flags]
    return helm(*arguments, given=json.dumps(values))


@dataclass(frozen=True)
class Rendered:
    """The objects of one release."""

    text: str

    @cached_property
    def objects(self) -> list[Object]:
        """All of them, in Helm's order."""
        return [thing for thing in yaml.safe_load_all(self.text) if thing]

    @property
    def kinds(self) -> list[str]:
        """Of each object."""
        return [thing["kind"] for thing in self.objects]

    def all(self, kind: str) -> list[Object]:
        """The objects of a kind."""
        return [thing for thing in self.objects if thing["kind"] == kind]

    def one(self, kind: str) -> Object:
        """The only object of a kind."""
        found = self.all(kind)
        assert len(found) == 1, f"{len(found)} of {kind}: {self.kinds}"
        return found[0]

    @property
    def pod(self) -> Object:
        """The spec of the operator's pods."""
        return self.one("Deployment")["spec"]["template"]["spec"]

    @property
    def operator(self) -> Object:
        """The operator's container."""
        (container,) = self.pod["containers"]
        return container

    @property
    def environment(self) -> dict[str, str | None]:
        """The operator's variables; none where a value comes from elsewhere."""
        return {variable["name"]: variable.get("value") for variable in self.operator["env"]}

    @property
    def pods(self) -> list[Object]:
        """The specs of all pods."""
        templates = [thing["spec"]["template"]["spec"] for thing in self.all("Deployment")]
        return templates + [thing["spec"] for thing in self.all("Pod")]

    @property
    def rules(self) -> list[tuple[str, Object]]:
        """Every rule of every role, with the role's name."""
        roles = self.all("Role") + self.all("ClusterRole")
        return [(role["metadata"]["name"], rule) for role in roles for rule in role["rules"]]


def render(values: Values | None = None, *, release: str = RELEASE) -> Rendered:
    """The objects that `values` give. Tests read them only, so the same values are rendered once."""
    return _rendered(json.dumps(values or {}), release)


@cache
def _rendered(values: str, release: str) -> Rendered:
    run = template(json.loads(values), release=release)
    assert run.returncode == 0, run.stderr
    return Rendered(run.stdout)


def refusal(values: Values) -> str:
    """What Helm says about values that it must not take."""
    run = template(values)
    assert run.returncode != 0, f"accepted: {values}"
    return run.stderr
