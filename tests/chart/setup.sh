# What manifests/generate and the chart's tests need; sourced after tests/setup.sh, from the root of the project.

# Prints a Python that has what requirements.txt names, in these releases.
chart_python() { pinned_python chart tests/chart/requirements.txt; }

# Prints helm: $HELM, the one on the path when it is a Helm 4, or the one that is built for the test cluster.
# Helm 3 renders the same, but tells no notes without a cluster.
find_helm() {
    if [ -n "${HELM:-}" ]; then
        printf '%s' "$HELM"
    elif command -v helm >/dev/null && [[ $(helm version --short 2>/dev/null) == v4.* ]]; then
        command -v helm
    else
        printf '%s/helm' "$(tests/cluster/build)"
    fi
}

# Prints promtool: $PROMTOOL, the one on the path, or Debian's. Its package is not installed, since that starts a server.
find_promtool() {
    local folder=$(target_dir)/promtool
    if [ -n "${PROMTOOL:-}" ]; then
        printf '%s' "$PROMTOOL"
    elif command -v promtool; then
        :
    else
        if [ ! -x "$folder/usr/bin/promtool" ]; then
            install_packages apt-get=apt dpkg-deb=dpkg >&2
            say "fetching promtool"
            rm -rf "$folder"
            mkdir -p "$folder"
            (
                cd "$folder"
                # As another user than root apt cannot keep lists; those of the machine are read.
                apt-get download -qq prometheus >/dev/null 2>&1 \
                    || { [ "$(id -u)" != 0 ] || apt-get update -qq >/dev/null; apt-get download -qq prometheus >/dev/null; }
                dpkg-deb --fsys-tarfile prometheus_*.deb | tar x ./usr/bin/promtool
                rm prometheus_*.deb
            ) >&2 || die "promtool could not be fetched: put one on the path, or name it by PROMTOOL"
        fi
        printf '%s/usr/bin/promtool' "$folder"
    fi
}
