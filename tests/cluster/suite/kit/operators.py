"""Operators for a test, each with the chart's own account and roles."""

from pathlib import Path
from typing import Any

from kit import permissions
from kit.api import Object
from kit.cluster import ROOT, Cluster
from kit.operator import Operator


class Operators:
    """Starts operators, and ends them."""

    def __init__(self, cluster: Cluster, binary: Path, folder: Path) -> None:
        self._cluster = cluster
        self._binary = binary
        self._folder = folder
        self._prepared: dict[str, str] = {}
        self._cluster_wide: list[Object] = []
        self.all: list[Operator] = []

    def permit(self, namespace: str, *, everywhere: bool = False, watch: tuple[str, ...] = ()) -> str:
        """Installs account, roles and policies for an operator in `namespace`; returns the account's user name."""
        chart = ROOT / "charts/wyoming-stt"
        things = permissions.rendered(self._cluster.helm, chart, namespace, everywhere=everywhere, watch=watch)
        self._cluster_wide += [thing for thing in things if thing["kind"] in permissions.GLOBAL]
        account = permissions.install(self._cluster.api, things, namespace)
        self._prepared[namespace] = account
        return f"system:serviceaccount:{namespace}:{account}"

    def start(
        self,
        namespace: str,
        *,
        everywhere: bool = False,
        watch: tuple[str, ...] = (),
        identity: str = "one",
        **more: Any,
    ) -> Operator:
        """Starts one; it looks at its own namespace only, unless `watch` names others, or `everywhere`."""
        if namespace not in self._prepared:
            self.permit(namespace, everywhere=everywhere, watch=watch)
        path = self._folder / f"{identity}.kubeconfig"
        kubeconfig = permissions.kubeconfig(self._cluster.api, namespace, self._prepared[namespace], path)
        operator = Operator(
            binary=self._binary,
            kubeconfig=kubeconfig,
            namespace=namespace,
            identity=identity,
            log=self._folder / f"{identity}.log",
            watch=[] if everywhere else list(watch or (namespace,)),
            **more,
        )
        self.all.append(operator)
        return operator.start()

    def end(self) -> None:
        """Ends all of them, which must not have panicked."""
        statuses = [operator.end() for operator in self.all if operator.is_running()]
        for thing in self._cluster_wide:
            self._cluster.api.delete(thing["kind"], thing["metadata"]["name"])
        panics = [line for operator in self.all for line in operator.messages("panicked")]
        assert not panics, panics
        assert not any(statuses), f"ended with {statuses}"
