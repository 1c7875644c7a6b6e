"""The command line behind `up`, `down`, `enter`, `restart` and `load`."""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import bringup, control, namespaces, node, takedown
from .layout import Cluster, ClusterError, existing, root


@contextmanager
def alone(cluster: Cluster) -> Iterator[None]:
    """One command at a time may change a cluster."""
    root().mkdir(parents=True, exist_ok=True)
    with open(root() / f".{cluster.name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(f"another command is changing cluster {cluster.name}") from None
        yield


def exports(cluster: Cluster) -> str:
    programs = cluster.details()["programs"]
    return f'export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))} PATH={shlex.quote(programs)}:"$PATH"'


def up(arguments: argparse.Namespace) -> None:
    cluster = Cluster(arguments.name)
    with alone(cluster):
        if cluster.supervisor() is not None:
            raise ClusterError(f"cluster {cluster.name} is up already; to end it: tests/cluster/down {cluster.name}")
        if takedown.down(cluster):
            bringup.say(f"cleared away what an earlier cluster {cluster.name} had left")
        try:
            bringup.up(cluster, arguments.programs, arguments.node)
        except BaseException as problem:
            takedown.stop_processes(cluster)
            if isinstance(problem, ClusterError):
                logs = f"all logs: {cluster.run / 'log'}, until: tests/cluster/down {cluster.name}"
                raise ClusterError(f"{problem}\n{logs}") from None
            raise
    print(exports(cluster))


def down(arguments: argparse.Namespace) -> None:
    if arguments.all == bool(arguments.names):
        raise ClusterError("usage: tests/cluster/down NAME… or tests/cluster/down --all")
    for cluster in existing() if arguments.all else [Cluster(name) for name in arguments.names]:
        with alone(cluster):
            if takedown.down(cluster):
                bringup.say(f"cluster {cluster.name} is down; no process, mount or cgroup of it is left")
            else:
                bringup.say(f"cluster {cluster.name} was not up")
            (root() / f".{cluster.name}.lock").unlink(missing_ok=True)
    takedown.remove_if_empty(root())


def enter(arguments: argparse.Namespace) -> None:
    cluster = Cluster(arguments.name)
    namespaces.enter_network(cluster.need_supervisor())
    os.environ["KUBECONFIG"] = str(cluster.inside_kubeconfig)
    # kubectl and helm keep what an API server serves by its address, which is the same in all clusters.
    os.environ["KUBECACHEDIR"] = str(cluster.run / "kubectl-cache")
    os.environ["PATH"] = f"{cluster.details()['programs']}:{os.environ['PATH']}"
    try:
        os.execvp(arguments.command[0], arguments.command)
    except OSError as error:
        raise ClusterError(f"{arguments.command[0]}: {error.strerror}") from None


def restart(arguments: argparse.Namespace) -> None:
    cluster = Cluster(arguments.name)
    cluster.need_supervisor()
    with alone(cluster):
        bringup.restart(cluster, arguments.component, signal.Signals[f"SIG{arguments.signal}"], arguments.stay_down)


def load(arguments: argparse.Namespace) -> None:
    cluster = Cluster(arguments.name)
    cluster.need_supervisor()
    for archive in arguments.archives:
        node.load_image(cluster, Path(cluster.details()["programs"]), archive.absolute())


def status(arguments: argparse.Namespace) -> None:
    for cluster in existing():
        if cluster.supervisor() is None:
            print(f"{cluster.name}: ended; tests/cluster/down {cluster.name} clears it away")
        else:
            print(f"{cluster.name}: {', '.join(control.states(cluster)['running'])}\n  {exports(cluster)}")


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests/cluster/…")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("up")
    command.set_defaults(run=up)
    command.add_argument("name")
    command.add_argument("--node", action="store_true")
    command.add_argument("--programs", type=Path, required=True)
    command = commands.add_parser("down")
    command.set_defaults(run=down)
    command.add_argument("names", nargs="*", metavar="NAME")
    command.add_argument("--all", action="store_true")
    command = commands.add_parser("enter")
    command.set_defaults(run=enter)
    command.add_argument("name", metavar="NAME")
    command.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    command = commands.add_parser("restart")
    command.set_defaults(run=restart)
    command.add_argument("name", metavar="NAME")
    command.add_argument("component", metavar="COMPONENT")
    command.add_argument("--signal", default="KILL", metavar="NAME")
    command.add_argument("--stay-down", type=float, default=0, metavar="SECONDS")
    command = commands.add_parser("load")
    command.set_defaults(run=load)
    command.add_argument("name", metavar="NAME")
    command.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    commands.add_parser("status").set_defaults(run=status)
    return parser


def main() -> None:
    arguments = command_line().parse_args()
    try:
        arguments.run(arguments)
    except ClusterError as error:
        sys.exit(f"error: {error}")
