"""The command line of every program of a cluster."""

from __future__ import annotations

from pathlib import Path

from .layout import (
    API_PORT,
    FAKE_POD_NETWORK,
    NODE_ADDRESS,
    NODE_NAME,
    POD_NETWORK,
    SERVICE_NETWORK,
    Cluster,
)

ETCD = "http://127.0.0.1:2379"
# Many objects at once are what tests are about; the defaults would spend minutes on waiting for a turn.
HASTE = ["--kube-api-qps=500", "--kube-api-burst=1000"]


def etcd(cluster: Cluster) -> list[str]:
    return [
        "etcd",
        f"--data-dir={cluster.run}/etcd",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:0",
    ]


def apiserver(cluster: Cluster) -> list[str]:
    pki = cluster.run / "pki"
    return [
        "kube-apiserver",
        f"--etcd-servers={ETCD}",
        # Endpoints may not be loopback addresses, and `kubernetes.default` has one.
        f"--advertise-address={NODE_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        "--authorization-mode=Node,RBAC",
        # As installers of clusters have it: what may be privileged is then said by admission.
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/accounts.pub",
        f"--service-account-signing-key-file={pki}/accounts.key",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        # By name there would be nobody to ask.
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        f"--audit-policy-file={cluster.run}/audit-policy.yaml",
        f"--audit-log-path={cluster.run}/audit.log",
        "--audit-log-maxsize=1000",
    ]


def _client(cluster: Cluster, name: str) -> list[str]:
    kubeconfig = cluster.run / "pki" / f"{name}.kubeconfig"
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def controller_manager(cluster: Cluster) -> list[str]:
    pki = cluster.run / "pki"
    return [
        "kube-controller-manager",
        *_client(cluster, "controller-manager"),
        *HASTE,
        "--controllers=*,-nodeipam",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki}/accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
    ]


def scheduler(cluster: Cluster) -> list[str]:
    return ["kube-scheduler", *_client(cluster, "scheduler"), *HASTE]


def kwok(cluster: Cluster, programs: Path) -> list[str]:
    return [
        "kwok",
        f"--kubeconfig={cluster.run}/pki/kwok.kubeconfig",
        f"--config={programs}/kwok-stages.yaml",
        f"--cidr={FAKE_POD_NETWORK}",
        f"--node-ip={NODE_ADDRESS}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        "--server-address=127.0.0.1:10247",
    ]


def containerd(cluster: Cluster) -> list[str]:
    return ["containerd", f"--config={cluster.run}/containerd.toml"]


def kubelet(cluster: Cluster) -> list[str]:
    return [
        "kubelet",
        f"--config={cluster.run}/kubelet.yaml",
        f"--kubeconfig={cluster.run}/pki/node.kubeconfig",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_ADDRESS}",
        f"--root-dir={cluster.run}/kubelet",
        f"--cert-dir={cluster.run}/kubelet/pki",
    ]


def proxy(cluster: Cluster) -> list[str]:
    return [
        "kube-proxy",
        f"--kubeconfig={cluster.run}/pki/proxy.kubeconfig",
        "--proxy-mode=nftables",
        f"--hostname-override={NODE_NAME}",
        f"--cluster-cidr={POD_NETWORK}",
        # Zero leaves the kernel's settings alone; they may be read-only here.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]


def dns(cluster: Cluster) -> list[str]:
    return ["coredns", f"-conf={cluster.run}/Corefile"]
