"""The keys and certificates of a cluster, and the kubeconfigs that use them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .layout import API_PORT, KUBERNETES_SERVICE, NODE_ADDRESS, NODE_NAME, ClusterError

SERVER_NAMES = f"DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:{KUBERNETES_SERVICE},IP:{NODE_ADDRESS}"
# Who connects to the API server, by file. The groups are what Kubernetes' own roles are bound to.
CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "kwok": "/O=system:masters/CN=kwok",
    "node": f"/O=system:nodes/CN=system:node:{NODE_NAME}",
    "proxy": "/CN=system:kube-proxy",
    "dns": "/O=system:masters/CN=dns",
}


def openssl(*arguments: str, text: str | None = None) -> None:
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        openssl(
            "req", "-x509", *self._new_key("ca"), "-days", "30", "-subj", "/CN=cluster", "-out", self.path("ca.crt")
        )

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _new_key(self, name: str) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(f"{name}.key")]

    def issue(self, name: str, subject: str, alternatives: str) -> None:
        openssl("req", *self._new_key(name), "-subj", subject, "-out", self.path(f"{name}.csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl(
            "x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"),
            "-CAcreateserial", "-days", "30", "-extfile", str(extensions), "-out", self.path(f"{name}.crt"),
        )  # fmt: skip

    def kubeconfig(self, file: Path, client: str, port: int) -> None:
        """Certificates are named by path, so the folder has to stay where it is."""
        file.touch(mode=0o600)
        file.write_text(
            f"""apiVersion: v1
kind: Config
current-context: cluster
contexts: [{{name: cluster, context: {{cluster: cluster, user: {client}}}}}]
clusters:
  - name: cluster
    cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: "{self.path("ca.crt")}"}}
users:
  - name: {client}
    user: {{client-certificate: "{self.path(client)}.crt", client-key: "{self.path(client)}.key"}}
"""
        )


def prepare(folder: Path) -> Authority:
    """Everything that the programs of a cluster need to trust each other."""
    authority = Authority(folder)
    authority.issue("apiserver", "/CN=kube-apiserver", SERVER_NAMES)
    authority.issue("kubelet-client", "/O=system:masters/CN=kubelet-client", "DNS:kubelet-client")
    authority.issue("front-proxy", "/CN=front-proxy", "DNS:front-proxy")
    for client, subject in CLIENTS.items():
        # The node serves with its certificate too: logs and exec go from the API server to it.
        names = f"DNS:{NODE_NAME},IP:{NODE_ADDRESS}" if client == "node" else f"DNS:{client}"
        authority.issue(client, subject, names)
        authority.kubeconfig(folder / f"{client}.kubeconfig", client, API_PORT)
    openssl(
        "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", authority.path("accounts.key")
    )
    openssl("pkey", "-in", authority.path("accounts.key"), "-pubout", "-out", authority.path("accounts.pub"))
    return authority
