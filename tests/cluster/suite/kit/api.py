"""The API server over HTTP. Objects are dictionaries, as the server has them."""

import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml

Object = dict[str, Any]

# Where each kind is: group and version, plural, whether it has a namespace.
KINDS: dict[str, tuple[str, str, bool]] = {
    "APIService": ("apis/apiregistration.k8s.io/v1", "apiservices", False),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "CustomResourceDefinition": ("apis/apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "Deployment": ("apis/apps/v1", "deployments", True),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices", True),
    "Endpoints": ("api/v1", "endpoints", True),
    "Event": ("apis/events.k8s.io/v1", "events", True),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers", True),
    "Lease": ("apis/coordination.k8s.io/v1", "leases", True),
    "Namespace": ("api/v1", "namespaces", False),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies", True),
    "Node": ("api/v1", "nodes", False),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims", True),
    "Pod": ("api/v1", "pods", True),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets", True),
    "ReplicaSet": ("apis/apps/v1", "replicasets", True),
    "ResourceQuota": ("api/v1", "resourcequotas", True),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings", True),
    "Secret": ("api/v1", "secrets", True),
    "Service": ("api/v1", "services", True),
    "ServiceAccount": ("api/v1", "serviceaccounts", True),
    "ValidatingAdmissionPolicy": (
        "apis/admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        False,
    ),
    "ValidatingAdmissionPolicyBinding": (
        "apis/admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        False,
    ),
    "WyomingStt": ("apis/wyoming-stt.dev/v1alpha1", "wyomingstts", True),
}

# The longest that the server may take for one answer.
PATIENCE = 30.0


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


class Unreachable(Exception):
    """The server did not answer."""


class Api:
    """One identity at one API server."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        by_name = {context["name"]: context["context"] for context in config["contexts"]}
        context = by_name[config["current-context"]]
        cluster = next(each["cluster"] for each in config["clusters"] if each["name"] == context["cluster"])
        user = next(each["user"] for each in config["users"] if each["name"] == context["user"])
        self.server: str = cluster["server"].rstrip("/")
        self.ca_file = _as_file(cluster, "certificate-authority", kubeconfig.parent)
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self._pool = urllib3.PoolManager(
            maxsize=16,
            ca_certs=self.ca_file,
            cert_file=_as_file(user, "client-certificate", kubeconfig.parent),
            key_file=_as_file(user, "client-key", kubeconfig.parent),
            retries=False,
            timeout=urllib3.Timeout(PATIENCE),
        )

    def send(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: dict[str, str] | None = None,
        media: str = "application/json",
    ) -> Any:
        """The answer, parsed when it is JSON.

        Raises `Refused` for an error and `Unreachable` without an answer.
        """
        url = f"{self.server}/{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {**self._headers, "Accept": "application/json", "Content-Type": media}
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = self._pool.request(method, url, body=data, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"{method} {path}: {error}") from error
        text = answer.data.decode()
        value = json.loads(text) if text.startswith(("{", "[")) else text
        if answer.status >= 400:
            told = value if isinstance(value, dict) else {}
            raise Refused(answer.status, told.get("reason", ""), told.get("message", text))
        return value

    def get(self, kind: str, name: str, namespace: str | None = None, *, subresource: str = "") -> Object:
        """One object."""
        return self.send("GET", path_of(kind, name, namespace, subresource))

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object, if there is one."""
        try:
            return self.get(kind, name, namespace)
        except Refused as refusal:
            if refusal.code != 404:
                raise
            return None

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """All objects of a kind."""
        query = {"labelSelector": labels} if labels else None
        return self.send("GET", path_of(kind, "", namespace), query=query)["items"]

    def create(self, thing: Object, *, dry_run: bool = False, strict: bool = False) -> Object:
        """A new object."""
        query = {"fieldManager": "suite", "fieldValidation": "Strict" if strict else "Ignore"}
        if dry_run:
            query["dryRun"] = "All"
        path = path_of(thing["kind"], "", thing["metadata"].get("namespace"))
        return self.send("POST", path, thing, query=query)

    def apply(self, thing: Object, *, manager: str = "suite") -> Object:
        """The object as `thing` says, whether it was there or not."""
        meta = thing["metadata"]
        path = path_of(thing["kind"], meta["name"], meta.get("namespace"))
        query = {"fieldManager": manager, "force": "true"}
        return self.send("PATCH", path, thing, query=query, media="application/apply-patch+yaml")

    def replace(self, thing: Object, *, dry_run: bool = False) -> Object:
        """The object as `thing` says, at the version that it names."""
        meta = thing["metadata"]
        query = {"dryRun": "All"} if dry_run else None
        return self.send("PUT", path_of(thing["kind"], meta["name"], meta.get("namespace")), thing, query=query)

    def patch(self, kind: str, name: str, namespace: str | None, change: Object, *, subresource: str = "") -> Object:
        """The object with `change` merged in; null takes a field away."""
        path = path_of(kind, name, namespace, subresource)
        return self.send("PATCH", path, change, query={"fieldManager": "suite"}, media="application/merge-patch+json")

    def delete(self, kind: str, name: str, namespace: str | None = None, *, how: str = "Background") -> None:
        """Deletes an object, if there is one. `how` is the propagation policy."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": how}
        try:
            self.send("DELETE", path_of(kind, name, namespace), options)
        except Refused as refusal:
            if refusal.code != 404:
                raise

    def delete_all(self, kind: str, namespace: str, *, grace_s: int) -> None:
        """Deletes all objects of a kind, which have `grace_s` to end."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": grace_s}
        self.send("DELETE", path_of(kind, "", namespace), options)

    def watch(self, kind: str, namespace: str | None, *, version: str, labels: str = "") -> Iterator[Object]:
        """Events (`type`, `object`) after `version`, until the server or a silence of 30 s ends it."""
        query = {"watch": "1", "resourceVersion": version, "labelSelector": labels, "timeoutSeconds": "600"}
        url = f"{self.server}/{path_of(kind, '', namespace)}?{urlencode(query)}"
        try:
            answer = self._pool.request("GET", url, headers=self._headers, preload_content=False)
            for line in _lines(answer):
                yield json.loads(line)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"watch {kind}: {error}") from error


def path_of(kind: str, name: str = "", namespace: str | None = None, subresource: str = "") -> str:
    """Where a kind or an object is on the server."""
    group, plural, is_namespaced = KINDS[kind]
    parts = [group]
    if is_namespaced and namespace:
        parts += ["namespaces", namespace]
    parts.append(plural)
    return "/".join(parts + [part for part in (name, subresource) if part])


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in answer.stream(None):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)


def _as_file(holder: Object, field: str, folder: Path) -> str | None:
    """A file of a kubeconfig: named, or held in it."""
    if field in holder:
        return str(folder / holder[field])
    if f"{field}-data" not in holder:
        return None
    with tempfile.NamedTemporaryFile(prefix=f"{field}-", suffix=".pem", delete=False) as file:
        file.write(base64.b64decode(holder[f"{field}-data"]))
    return file.name
