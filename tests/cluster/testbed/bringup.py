"""Brings a cluster up, step by step, and waits until each part works."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from . import certificates, components, control, namespaces
from .layout import (
    API_PORT,
    DNS_SERVICE,
    FAKE_POD_NETWORK,
    NODE_ADDRESS,
    NODE_NAME,
    NODE_NETWORK,
    POD_NETWORK,
    Cluster,
    ClusterError,
)

FOLDER = Path(__file__).parent.parent


def say(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)


def tail(file: Path, lines: int = 15) -> str:
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(it wrote no log)"


class Network:
    """Runs functions and programs in a cluster's network namespace, and asks its programs."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        # A thread can change its network namespace alone, and its children inherit it.
        self.thread = ThreadPoolExecutor(1, initializer=namespaces.enter_network, initargs=(cluster.need_supervisor(),))
        self.context = ssl.create_default_context(cafile=str(cluster.run / "pki" / "ca.crt"))
        self.context.load_cert_chain(cluster.run / "pki" / "admin.crt", cluster.run / "pki" / "admin.key")
        # The health pages of controller manager and scheduler have certificates of their own making.
        self.trusting = ssl.create_default_context()
        self.trusting.check_hostname = False
        self.trusting.verify_mode = ssl.CERT_NONE
        self.opener = {
            context: urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
            for context in (self.context, self.trusting)
        }

    def run(self, *command: str, text: str | None = None) -> None:
        """Runs a program that has to succeed."""
        done = self.thread.submit(
            subprocess.run, command, input=text, capture_output=True, text=True, timeout=60
        ).result()
        if done.returncode != 0:
            raise ClusterError(f"{' '.join(command)} failed: {done.stderr.strip()}")

    def _ask(self, url: str, context: ssl.SSLContext) -> str | None:
        try:
            with self.opener[context].open(url, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def api(self, path: str) -> str | None:
        """What the API server says, or None when it does not (yet)."""
        return self.thread.submit(self._ask, f"https://127.0.0.1:{API_PORT}{path}", self.context).result()

    def answers(self, url: str) -> bool:
        return self.thread.submit(self._ask, url, self.trusting).result() is not None


def wait(cluster: Cluster, component: str, what: str, limit_s: float, done: Callable[[], object]) -> None:
    """Waits for something that a component has to bring about; says what its log says when it does not."""
    deadline = time.monotonic() + limit_s
    while not done():
        # Any of them: the others wait for it in vain.
        if ended := control.states(cluster)["ended"]:
            component, code = next(iter(ended.items()))
            problem = f"{component} ended with {code}"
        elif time.monotonic() > deadline:
            problem = f"{component} did not get there in {limit_s:.0f} s"
        else:
            time.sleep(0.1)
            continue
        raise ClusterError(f"{what}: {problem}\n{cluster.log(component)} ends with:\n{tail(cluster.log(component))}")


@contextmanager
def taking_time(times: dict[str, float], step: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    times[step] = time.monotonic() - begun


def start_supervisor(cluster: Cluster, programs: Path) -> int:
    """Returns the port on the host's loopback that leads to the API server."""
    reading, writing = os.pipe()
    with open(cluster.log("supervisor"), "ab") as log:
        subprocess.Popen(
            [sys.executable, "-B", "-m", "testbed.supervisor", cluster.name, str(programs), str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
            start_new_session=True,
            cwd=FOLDER,
            env={"PATH": os.environ["PATH"], "STT_CLUSTER_RUN": str(cluster.run.parent)},
        ).wait(timeout=30)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    if not text:
        raise ClusterError(f"the supervisor did not start; {cluster.log('supervisor')} ends with:\n{tail(cluster.log('supervisor'))}")
    return json.loads(text)["port"]


def make_network(network: Network) -> None:
    for command in (
        "ip link set lo up",
        # A bridge without ports carries an address as well as anything, and every kernel has it.
        "ip link add node0 type bridge",
        f"ip address add {NODE_ADDRESS}/{NODE_NETWORK.split('/')[1]} dev node0",
        "ip link set node0 up",
        "ip route add default dev node0",
        f"ip route add local {FAKE_POD_NETWORK} dev lo",
        "sysctl -qw net.ipv4.ip_forward=1",
    ):
        network.run(*command.split())


def start_control_plane(cluster: Cluster, network: Network, programs: Path) -> None:
    shutil.copy(FOLDER / "node" / "audit-policy.yaml", cluster.run)
    control.start(cluster, "etcd", components.etcd(cluster))
    control.start(cluster, "apiserver", components.apiserver(cluster))
    wait_for_apiserver(cluster, network)
    control.start(cluster, "controller-manager", components.controller_manager(cluster))
    control.start(cluster, "scheduler", components.scheduler(cluster))
    control.start(cluster, "kwok", components.kwok(cluster, programs))


def wait_for_apiserver(cluster: Cluster, network: Network) -> None:
    wait(cluster, "apiserver", "the API server", 90, lambda: network.api("/readyz"))


def wait_for_control_plane(cluster: Cluster, network: Network) -> None:
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    wait(cluster, "controller-manager", "the controllers", 60, lambda: network.api(account))
    wait(cluster, "scheduler", "the scheduler", 60, lambda: network.answers("https://127.0.0.1:10259/readyz"))
    wait(cluster, "kwok", "kwok", 60, lambda: network.answers("http://127.0.0.1:10247/healthz"))


def fill_in(cluster: Cluster, name: str) -> None:
    """Copies a file of `node/` with its variables replaced."""
    text = (FOLDER / "node" / name).read_text()
    values = {
        "RUN": str(cluster.run),
        "DNS_SERVICE": DNS_SERVICE,
        "NODE_ADDRESS": NODE_ADDRESS,
        "POD_NETWORK": POD_NETWORK,
    }
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    (cluster.run / name).write_text(text)


def start_containerd(cluster: Cluster) -> None:
    """Needs no API server, so it comes up beside it."""
    for name in ("containerd.toml", "kubelet.yaml", "pods.conflist", "Corefile", "resolv.conf"):
        fill_in(cluster, name)
    (cluster.run / "cni").mkdir()
    (cluster.run / "pods.conflist").rename(cluster.run / "cni" / "pods.conflist")
    control.start(cluster, "containerd", components.containerd(cluster))


def load_image(cluster: Cluster, programs: Path, archive: Path) -> None:
    """Gives the node an image from an OCI archive."""
    command = [programs / "ctr", f"--address={cluster.run}/containerd.sock", "--namespace=k8s.io", "images", "import", archive]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise ClusterError(f"image {archive} was not imported: {done.stderr.strip() or done.stdout.strip()}")


def start_node(cluster: Cluster, network: Network, programs: Path) -> None:
    wait(cluster, "containerd", "the container runtime", 60, (cluster.run / "containerd.sock").exists)
    load_image(cluster, programs, programs / "pause.tar")
    control.start(cluster, "kubelet", components.kubelet(cluster))
    control.start(cluster, "proxy", components.proxy(cluster))
    control.start(cluster, "dns", components.dns(cluster))
    network.run(
        str(programs / "kubectl"), f"--kubeconfig={cluster.inside_kubeconfig}", "apply", "-f", "-",
        text=(FOLDER / "node" / "dns.yaml").read_text().replace("@NODE_ADDRESS@", NODE_ADDRESS).replace("@DNS_SERVICE@", DNS_SERVICE),
    )  # fmt: skip


def node_is_ready(network: Network) -> bool:
    answer = network.api(f"/api/v1/nodes/{NODE_NAME}")
    conditions = json.loads(answer)["status"].get("conditions", []) if answer else []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def wait_for_node(cluster: Cluster, network: Network) -> None:
    wait(cluster, "kubelet", "the node", 90, lambda: node_is_ready(network))
    wait(cluster, "dns", "the DNS server", 30, lambda: network.answers(f"http://{NODE_ADDRESS}:8181/ready"))
    wait(cluster, "proxy", "the service proxy", 30, lambda: network.answers("http://127.0.0.1:10256/healthz"))


def up(cluster: Cluster, programs: Path, with_node: bool) -> None:
    """Starts a cluster in an empty run folder. Where it fails, the caller takes it down."""
    times: dict[str, float] = {}
    for folder in ("log", "etcd"):
        (cluster.run / folder).mkdir(parents=True)
    with taking_time(times, "namespaces, certificates"):
        port = start_supervisor(cluster, programs)
        authority = certificates.prepare(cluster.run / "pki")
        authority.kubeconfig(cluster.kubeconfig, "admin", port)
        network = Network(cluster)
        make_network(network)
    with taking_time(times, "control plane"):
        if with_node:
            start_containerd(cluster)
        start_control_plane(cluster, network, programs)
        if with_node:
            start_node(cluster, network, programs)
        wait_for_control_plane(cluster, network)
    if with_node:
        with taking_time(times, "node"):
            wait_for_node(cluster, network)
    say(f"cluster {cluster.name} is up: " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in times.items()))


def restart(cluster: Cluster, component: str, number: signal.Signals, stay_down_s: float) -> None:
    """Ends one program and starts it again, and waits until it works."""
    programs = Path(cluster.details()["programs"])
    network = Network(cluster)
    control.stop(cluster, component, number)
    time.sleep(stay_down_s)
    control.start_again(cluster, component)
    if component in ("etcd", "apiserver"):
        wait_for_apiserver(cluster, network)
    wait_for_control_plane(cluster, network)
    if "kubelet" in control.states(cluster)["running"]:
        wait(cluster, "containerd", "the container runtime", 60, lambda: containerd_answers(cluster, programs))
        wait_for_node(cluster, network)


def containerd_answers(cluster: Cluster, programs: Path) -> bool:
    command = [programs / "ctr", f"--address={cluster.run}/containerd.sock", "--timeout=2s", "version"]
    return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
