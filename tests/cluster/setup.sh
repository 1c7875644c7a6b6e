# What the commands beside this file share; sourced by them, after `cd` to the root of the project.
source tests/setup.sh

# This machine cannot run a cluster. The exit code tells callers so; any other failure is a fault.
cannot() { printf 'cluster: this machine cannot run one: %s\n' "$*" >&2; exit 77; }

# A cluster lives in namespaces of its own, and its node makes cgroups and mounts.
need_host() {
    [ "$(uname -s)" = Linux ] || cannot "it is $(uname -s), and a node is Linux"
    [ "$(id -u)" = 0 ] || cannot "making namespaces needs root; try sudo"
    install_packages unshare=util-linux
    local refusal
    refusal=$(unshare --net --mount --pid --fork --mount-proc true 2>&1) \
        || cannot "no new namespaces (in a container it takes --privileged): $refusal"
    need_null_device
}

# What runs beside the programs that are built.
need_cluster() {
    need_host
    install_packages python3=python3 ip=iproute2 openssl=openssl nsenter=util-linux
}

need_node() {
    install_packages nft=nftables conntrack=conntrack runc=runc
    [ -x /usr/lib/cni/bridge ] || install_packages no-cni=containernetworking-plugins
}
