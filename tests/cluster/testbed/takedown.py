"""Takes a cluster down, however it came to its end, and checks that nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .layout import Cluster, ClusterError

CGROUP_MOUNT = Path("/sys/fs/cgroup")


def cgroups(cluster: Cluster) -> list[Path]:
    """Its containers' folders in each hierarchy: there is one in version 2, and one per controller in version 1.

    The runtime puts all containers of a machine below one folder, so they are told by their ids, which the runtime
    keeps as long as there is something to remove.
    """
    ids = {folder.name for folder in (cluster.run / "containerd/state").glob("io.containerd.runtime.v2.task/k8s.io/*")}
    hierarchies = [CGROUP_MOUNT, *(entry for entry in CGROUP_MOUNT.glob("*") if entry.is_dir())]
    return [folder for place in hierarchies for each in ids if (folder := place / "k8s.io" / each).is_dir()]


def mounts(cluster: Cluster) -> list[str]:
    """Where the host still has something mounted below the run folder; the deepest first."""
    paths = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((path for path in paths if Path(path).is_relative_to(cluster.run)), reverse=True)


def wait(what: str, limit_s: float, gone: Callable[[], bool]) -> None:
    deadline = time.monotonic() + limit_s
    while not gone():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not go away in {limit_s:.0f} s")
        time.sleep(0.02)


def stop_processes(cluster: Cluster) -> bool:
    """Ends the first process of the process namespace, and with it the kernel ends all the others."""
    pid = cluster.supervisor()
    if pid is None:
        return False
    # The handle is to this very process, even if it ends now and its id is given to another.
    handle = os.pidfd_open(pid)
    try:
        if cluster.supervisor() == pid:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
    wait(f"process {pid}", 30, lambda: cluster.supervisor() is None)
    return True


def remove_cgroup(folder: Path) -> bool:
    """A cgroup is removed from the leaves up, and refuses for a moment after its last process ended."""
    for below in folder.iterdir():
        if below.is_dir():
            remove_cgroup(below)
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def down(cluster: Cluster) -> bool:
    """Returns whether there was anything to take down."""
    was_there = cluster.run.exists()
    stopped = stop_processes(cluster)
    for folder in cgroups(cluster):
        wait(f"cgroup {folder}", 10, partial(remove_cgroup, folder))
        # The parent goes with the last container on this machine.
        remove_if_empty(folder.parent)
    left = mounts(cluster)
    if left:
        raise ClusterError(f"still mounted, by something else than the cluster: {', '.join(left)}")
    if was_there:
        shutil.rmtree(cluster.run)
    return was_there or stopped


def remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
