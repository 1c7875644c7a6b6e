"""Asks a cluster's programs from within its network, and waits for what they have to bring about."""

from __future__ import annotations

import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import control, namespaces
from .layout import API_PORT, Cluster, ClusterError


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
                return str(answer.read(), "utf-8")
        except OSError:
            return None

    def api(self, path: str) -> str | None:
        """What the API server says, or None when it does not (yet)."""
        return self.thread.submit(self._ask, f"https://127.0.0.1:{API_PORT}{path}", self.context).result()

    def answers(self, url: str) -> bool:
        return self.thread.submit(self._ask, url, self.trusting).result() is not None


def tail(file: Path, lines: int = 15) -> str:
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(it wrote no log)"


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
