"""The real node of a cluster: its runtime, its kubelet, the proxy of Services, and DNS."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from . import components, control
from .layout import DNS_SERVICE, NODE_ADDRESS, NODE_NAME, POD_NETWORK, Cluster, ClusterError
from .waiting import Network, wait

FOLDER = Path(__file__).parent.parent


def start_runtime(cluster: Cluster) -> None:
    """Needs no API server, so it comes up beside it."""
    for name in ("containerd.toml", "kubelet.yaml", "pods.conflist", "Corefile", "resolv.conf"):
        (cluster.run / name).write_text(filled_in(cluster, name))
    (cluster.run / "cni").mkdir()
    (cluster.run / "pods.conflist").rename(cluster.run / "cni" / "pods.conflist")
    control.start(cluster, "containerd", components.containerd(cluster))


def start(cluster: Cluster, network: Network, programs: Path) -> None:
    wait(cluster, "containerd", "the container runtime", 60, lambda: runtime_answers(cluster, programs))
    load_image(cluster, programs, programs / "pause.tar")
    control.start(cluster, "kubelet", components.kubelet(cluster))
    control.start(cluster, "proxy", components.proxy(cluster))
    control.start(cluster, "dns", components.dns(cluster))
    kubectl = [str(programs / "kubectl"), f"--kubeconfig={cluster.inside_kubeconfig}"]
    network.run(*kubectl, "apply", "-f", "-", text=filled_in(cluster, "dns.yaml"))


def wait_until_ready(cluster: Cluster, network: Network) -> None:
    wait(cluster, "kubelet", "the node", 90, lambda: is_ready(network))
    wait(cluster, "dns", "the DNS server", 30, lambda: network.answers(f"http://{NODE_ADDRESS}:8181/ready"))
    wait(cluster, "proxy", "the service proxy", 30, lambda: network.answers("http://127.0.0.1:10256/healthz"))


def load_image(cluster: Cluster, programs: Path, archive: Path) -> None:
    """Gives the node an image from an OCI archive."""
    done = ctr(cluster, programs, "images", "import", str(archive), limit_s=300)
    if done.returncode != 0:
        raise ClusterError(f"image {archive} was not imported: {done.stderr.strip() or done.stdout.strip()}")


def filled_in(cluster: Cluster, name: str) -> str:
    """A file of the folder `node` with its variables replaced."""
    text = (FOLDER / "node" / name).read_text()
    values = {
        "RUN": str(cluster.run),
        "DNS_SERVICE": DNS_SERVICE,
        "NODE_ADDRESS": NODE_ADDRESS,
        "POD_NETWORK": POD_NETWORK,
    }
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def ctr(cluster: Cluster, programs: Path, *arguments: str, limit_s: float) -> subprocess.CompletedProcess[str]:
    """Runs containerd's own client."""
    command = [str(programs / "ctr"), f"--address={cluster.run}/containerd.sock", "--namespace=k8s.io", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=limit_s)


def runtime_answers(cluster: Cluster, programs: Path) -> bool:
    return ctr(cluster, programs, "version", limit_s=10).returncode == 0


def is_ready(network: Network) -> bool:
    answer = network.api(f"/api/v1/nodes/{NODE_NAME}")
    conditions = json.loads(answer)["status"].get("conditions", []) if answer else []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
