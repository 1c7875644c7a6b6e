"""The chart's release, as its user handles it: by helm; and the node's own runtime."""

import subprocess
from dataclasses import dataclass

from kit.cluster import ROOT, Cluster

CHART = ROOT / "charts/wyoming-stt"


@dataclass(frozen=True)
class Release:
    """One release of the chart."""

    cluster: Cluster
    name: str
    namespace: str

    def helm(self, command: str, *arguments: str, limit: float = 240) -> str:
        """What helm prints. Raises when it fails."""
        run = subprocess.run(
            [self.cluster.helm, command, self.name, *arguments, "--namespace", self.namespace],
            capture_output=True,
            text=True,
            timeout=limit,
        )
        if run.returncode != 0:
            pods = self.cluster.kubectl("get", "pods,events", "--namespace", self.namespace)
            raise AssertionError(f"helm {command}: {run.stderr or run.stdout}\n{pods}")
        return run.stdout

    def install(self, *arguments: str) -> None:
        """Installs it, or upgrades it, with images that the node has, and waits until the operator is ready."""
        images = ["--set", "image.pullPolicy=Never"]
        self.helm("upgrade", str(CHART), "--install", "--wait", "--timeout", "180s", *images, *arguments)

    def test(self) -> str:
        """`helm test`."""
        return self.helm("test", "--timeout", "180s", "--logs")

    def uninstall(self) -> None:
        """Leaves the definition and what is not part of the release."""
        self.helm("uninstall", "--wait", "--timeout", "120s")


def runtime(cluster: Cluster, *arguments: str) -> None:
    """Tells the node's container runtime to do something behind the kubelet's back."""
    ctr = cluster.kubectl_path.with_name("ctr")
    command = [ctr, f"--address={cluster.run}/containerd.sock", "--namespace=k8s.io", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, f"ctr {' '.join(arguments)}: {run.stderr}"
