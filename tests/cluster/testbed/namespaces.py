"""The system calls for namespaces and mounts that Python 3.11 does not have."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
MS_NOSUID_NODEV_NOEXEC = 0x2 | 0x4 | 0x8

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    encoded = kind.encode() if kind else None
    _check(_libc.mount(source.encode(), target.encode(), encoded, flags, None), f"mount {source} on {target}")


def enter_network(pid: int) -> None:
    """Moves the calling thread into the network namespace of a process."""
    with open(f"/proc/{pid}/ns/net") as namespace:
        _check(_libc.setns(namespace.fileno(), CLONE_NEWNET), f"entering the network namespace of process {pid}")


def cover(folder: str, keep: list[Path]) -> None:
    """Mounts an empty file system over a folder of the host; what lies below it and is to be kept stays visible."""
    below = [path for path in keep if path.is_relative_to(folder)]
    handles = [(path, os.open(path, os.O_PATH)) for path in below]
    mount("tmpfs", folder, "tmpfs", 0)
    for path, handle in handles:
        path.mkdir(parents=True)
        mount(f"/proc/self/fd/{handle}", str(path), None, MS_BIND | MS_REC)
        os.close(handle)
