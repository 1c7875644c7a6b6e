"""The cluster that the tests run in. They run inside its network namespace, so that they reach fake pods."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from kit.api import Api, Object
from kit.objects import assert_condition
from kit.waiting import eventually

ROOT = Path(__file__).resolve().parents[4]


@dataclass
class Cluster:
    """A cluster that is up, seen by its administrator."""

    kubeconfig: Path
    kubectl_path: Path
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.kubeconfig)

    @classmethod
    def around(cls) -> "Cluster":
        """The cluster that `tests/cluster/enter` started this process in."""
        kubeconfig, kubectl = os.environ.get("KUBECONFIG", ""), shutil.which("kubectl")
        if not kubeconfig.endswith("/pki/admin.kubeconfig") or kubectl is None:
            raise RuntimeError("not inside of a test cluster: use tests/cluster/test, or tests/cluster/enter NAME")
        return cls(Path(kubeconfig), Path(kubectl))

    @property
    def run(self) -> Path:
        """The cluster's folder."""
        return self.kubeconfig.parent.parent

    @property
    def helm(self) -> Path:
        """The program."""
        return self.kubectl_path.with_name("helm")

    @property
    def audit_log(self) -> Path:
        """Where the API server writes requests down."""
        return self.run / "audit.log"

    def version(self) -> str:
        """Of the API server, such as `v1.36.3`."""
        return self.api.send("GET", "version")["gitVersion"]

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """What kubectl prints. Raises when it fails."""
        run = subprocess.run(
            [str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == 0, f"kubectl {' '.join(arguments)}: {run.stderr}"
        return run.stdout

    def restart(self, program: str, *arguments: str) -> None:
        """Ends one of the cluster's programs and starts it again."""
        command = [str(ROOT / "tests/cluster/restart"), self.run.name, program, *arguments]
        run = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, f"restart {program}: {run.stderr}"

    def install_definition(self) -> None:
        """Applies the definition of WyomingStt and waits until it is served, after one that is on its way out."""
        eventually("no definition is being deleted", self._assert_not_ending, within=60)
        self.api.apply(yaml.safe_load((ROOT / "manifests/crd.yaml").read_text()))
        eventually("WyomingStt is served", self._assert_served, within=30)

    def _assert_not_ending(self) -> None:
        definition = self.api.find("CustomResourceDefinition", "wyomingstts.wyoming-stt.dev")
        assert definition is None or "deletionTimestamp" not in definition["metadata"]

    def _assert_served(self) -> None:
        definition = self.api.get("CustomResourceDefinition", "wyomingstts.wyoming-stt.dev")
        assert_condition(definition, "Established", "True")
        self.api.list("WyomingStt")


def examples() -> dict[str, Object]:
    """The example objects by the name of their file."""
    return {
        file.stem: yaml.safe_load(file.read_text()) for file in sorted((ROOT / "manifests/examples").glob("*.yaml"))
    }
