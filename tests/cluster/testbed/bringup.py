"""Brings a cluster up, step by step, and waits until each part works."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import certificates, components, control, node
from .layout import FAKE_POD_NETWORK, NODE_ADDRESS, NODE_NETWORK, Cluster, ClusterError
from .waiting import Network, tail, wait

FOLDER = Path(__file__).parent.parent


def say(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)


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
        file = cluster.log("supervisor")
        raise ClusterError(f"the supervisor did not start; {file} ends with:\n{tail(file)}")
    return int(json.loads(text)["port"])


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
            node.start_runtime(cluster)
        start_control_plane(cluster, network, programs)
        if with_node:
            node.start(cluster, network, programs)
        wait_for_control_plane(cluster, network)
    if with_node:
        with taking_time(times, "node"):
            node.wait_until_ready(cluster, network)
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
        wait(cluster, "containerd", "the container runtime", 60, lambda: node.runtime_answers(cluster, programs))
        node.wait_until_ready(cluster, network)
