"""Asks a cluster's supervisor to start and stop programs."""

from __future__ import annotations

import json
import signal
import socket
from typing import Any

from .layout import Cluster, ClusterError


def ask(cluster: Cluster, request: dict[str, Any]) -> dict[str, Any]:
    """The supervisor's answer: what is running and what has ended."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        try:
            connection.connect(str(cluster.control))
            connection.sendall(json.dumps(request).encode() + b"\n")
            reply: dict[str, Any] = json.loads(connection.makefile().readline())
        except (OSError, ValueError) as error:
            raise ClusterError(f"the supervisor of cluster {cluster.name} does not answer: {error}") from error
    if "error" in reply:
        raise ClusterError(f"cluster {cluster.name}: {reply['error']}")
    return reply


def start(cluster: Cluster, name: str, command: list[str]) -> None:
    ask(cluster, {"start": name, "command": command})


def stop(cluster: Cluster, name: str, number: signal.Signals) -> None:
    ask(cluster, {"stop": name, "signal": int(number)})


def start_again(cluster: Cluster, name: str) -> None:
    ask(cluster, {"again": name})


def states(cluster: Cluster) -> dict[str, Any]:
    return ask(cluster, {})
