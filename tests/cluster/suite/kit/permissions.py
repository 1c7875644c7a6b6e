"""What the operator may do: the roles and policies that users install, and tokens of the account that they bind."""

import functools
import subprocess
import tempfile
from pathlib import Path

import yaml

from kit.api import Api, Object

# Of the whole cluster.
GLOBAL = {
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
PERMISSIONS = {"ServiceAccount", "Role", "RoleBinding", *GLOBAL}


# Stands for a test's namespace in what helm renders once for all of them.
NAMESPACE = "the-namespace"


def rendered(
    helm: Path, chart: Path, namespace: str, *, everywhere: bool, watch: tuple[str, ...] = ()
) -> list[Object]:
    """The chart's objects for an operator in `namespace` that looks at it alone, at `watch`, or at all namespaces."""
    text = _render(helm, chart, everywhere, watch).replace(NAMESPACE, namespace)
    return [thing for thing in yaml.safe_load_all(text) if thing]


@functools.cache
def _render(helm: Path, chart: Path, everywhere: bool, watch: tuple[str, ...]) -> str:
    # What is not in the release's namespace needs a name that other releases do not use.
    release = f"wyoming-stt-{NAMESPACE}" if everywhere or watch else "wyoming-stt"
    arguments = [str(helm), "template", release, str(chart), "--namespace", NAMESPACE]
    arguments += ["--set", "rbac.aggregateRoles=false,crds.enabled=false"]
    if not everywhere:
        arguments += ["--set", f"watchNamespaces={{{','.join(watch or (NAMESPACE,))}}}"]
    with tempfile.TemporaryDirectory() as home:
        settings = {"HOME": home, "PATH": "/usr/bin:/bin"}
        run = subprocess.run(arguments, env=settings, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, f"helm template: {run.stderr}"
    return run.stdout


def install(api: Api, things: list[Object], namespace: str) -> str:
    """Applies accounts, roles and policies out of `things`, and returns the name of the account."""
    accounts = []
    for thing in things:
        if thing["kind"] not in PERMISSIONS:
            continue
        if thing["kind"] not in GLOBAL:
            thing["metadata"].setdefault("namespace", namespace)
        if thing["kind"] == "ServiceAccount":
            accounts.append(thing["metadata"]["name"])
        api.apply(thing)
    assert len(accounts) == 1, f"the chart has accounts {accounts}"
    return accounts[0]


def kubeconfig(api: Api, namespace: str, account: str, path: Path) -> Path:
    """A kubeconfig with a fresh token of an account."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    answer = api.send("POST", f"api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", request)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {"server": api.server, "certificate-authority": str(api.ca_file)}}],
        "users": [{"name": "operator", "user": {"token": answer["status"]["token"]}}],
        "contexts": [{"name": "it", "context": {"cluster": "cluster", "user": "operator", "namespace": namespace}}],
        "current-context": "it",
    }
    path.write_text(yaml.safe_dump(config))
    return path
