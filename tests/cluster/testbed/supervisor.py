"""The first process of a cluster's namespaces: starts its programs, reaps them, and forwards the API server's port.

Every program of the cluster, containers too, is a descendant of it in one process namespace, so the kernel ends
all of them with it, and their mounts go with its mount namespace. Run by `up` as: supervisor NAME PROGRAMS PIPE.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from . import namespaces
from .layout import API_PORT, Cluster, boot_id, start_time


class Supervisor:
    def __init__(self, cluster: Cluster, programs: Path) -> None:
        self.cluster = cluster
        self.environment = {
            "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(cluster.run),
        }
        self.commands: dict[str, list[str]] = {}
        self.running: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.changed = asyncio.Event()

    def start(self, name: str, command: list[str]) -> None:
        if name in self.running:
            raise ValueError(f"{name} runs already")
        self.commands[name] = command
        self.ended.pop(name, None)
        log = str(self.cluster.log(name))
        program = shutil.which(command[0], path=self.environment["PATH"])
        if program is None:
            raise ValueError(f"there is no program {command[0]} in {self.environment['PATH']}")
        self.running[name] = os.posix_spawn(
            program,
            command,
            self.environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            # Python ignores these, and what is ignored stays so in its children.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )

    async def stop(self, name: str, number: int) -> None:
        """Sends a signal and waits for the end, ten seconds at most, then kills."""
        for attempt in (number, signal.SIGKILL):
            if name not in self.running:
                return
            os.kill(self.running[name], attempt)
            deadline = time.monotonic() + 10
            while name in self.running and time.monotonic() < deadline:
                self.changed.clear()
                try:
                    await asyncio.wait_for(self.changed.wait(), deadline - time.monotonic())
                except TimeoutError:
                    break
        if name in self.running:
            raise ValueError(f"{name} did not end, not even by SIGKILL")

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, known in list(self.running.items()):
                if known == pid:
                    del self.running[name]
                    self.ended[name] = os.waitstatus_to_exitcode(status)
                    print(f"{name} ended with {self.ended[name]}", flush=True)
            self.changed.set()

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if (name := request.get("start")) is not None:
            self.start(name, request["command"])
        elif (name := request.get("stop")) is not None:
            if name not in self.commands:
                raise ValueError(f"there is no {name}; there are {', '.join(sorted(self.commands))}")
            await self.stop(name, request["signal"])
        elif (name := request.get("again")) is not None:
            self.start(name, self.commands[name])
        return {"running": sorted(self.running), "ended": self.ended}

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await self.answer(json.loads(await reader.readline()))
        except Exception as error:  # whatever it is, the caller is told and the cluster goes on
            reply = {"error": str(error) or repr(error)}
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
        writer.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        pass


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection from outside: the listener belongs to the host's network, what is opened here to the cluster's."""
    try:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", API_PORT)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pass_on(reader, onward_writer), pass_on(onward_reader, writer))
    onward_writer.close()
    writer.close()


def enter_namespaces(cluster: Cluster, programs: Path) -> None:
    """Leaves the host's mounts, network and processes; returns in the first process of the new namespaces."""
    namespaces.unshare(namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET | namespaces.CLONE_NEWPID)
    if os.fork() != 0:
        os._exit(0)
    # Written first of all, so that whatever happens next can be stopped. /proc is still the host's.
    pid = int(os.readlink("/proc/self"))
    record = {"pid": pid, "started": start_time(pid), "boot": boot_id(), "programs": str(programs)}
    unfinished = cluster.record.with_suffix(".part")
    unfinished.write_text(json.dumps(record))
    unfinished.rename(cluster.record)
    namespaces.mount("none", "/", None, namespaces.MS_REC | namespaces.MS_PRIVATE)
    # What the node mounts for a pod must reach that pod, and no further than this namespace.
    namespaces.mount("none", "/", None, namespaces.MS_REC | namespaces.MS_SHARED)
    for folder in ("/run", "/var/lib", "/var/log"):
        namespaces.cover(folder, [cluster.run, programs])
    namespaces.mount("proc", "/proc", "proc", namespaces.MS_NOSUID_NODEV_NOEXEC)


async def serve(supervisor: Supervisor, listener: socket.socket, ready: int) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, supervisor.reap)
    await asyncio.start_unix_server(supervisor.control, supervisor.cluster.control)
    await asyncio.start_server(forward, sock=listener)
    os.write(ready, json.dumps({"port": listener.getsockname()[1]}).encode())
    os.close(ready)
    await asyncio.Event().wait()


def main() -> None:
    name, programs, ready = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    cluster = Cluster(name)
    listener = socket.create_server(("127.0.0.1", 0))
    enter_namespaces(cluster, programs)
    os.set_inheritable(ready, False)
    os.chdir(cluster.run)
    asyncio.run(serve(Supervisor(cluster, programs), listener, ready))


if __name__ == "__main__":
    main()
