# What the scripts beside this file need; sourced by them, from the root of the project.
# Installs what is missing, says so, and is quiet when all is there.

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Everything below throws output away there. A tool that is run as root with `-o /dev/null` can put a
# plain file in its place; what fails then (first of all rustc, which reads it) names anything but it.
need_null_device() {
    [ ! -c /dev/null ] || return 0
    say "/dev/null is a plain file on this machine; making it a device again"
    { rm -f /dev/null && mknod -m 666 /dev/null c 1 3; } \
        || die "/dev/null is not a device; as root: rm /dev/null; mknod -m 666 /dev/null c 1 3"
}

# install_packages COMMAND=PACKAGE…: Debian packages for the commands that are not there.
install_packages() {
    local missing=() pair sudo=
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "please install: ${missing[*]} (only Debian and Ubuntu are known to this script)"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "please install as root: ${missing[*]}"
        sudo=sudo
    fi
    say "installing ${missing[*]}"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# in_spare_time COMMAND…: with what others leave of the processors. Linux may share them among sessions first, and among
# the processes of each only then, so it is a session of its own; started with &, its process group has the id $!.
in_spare_time() {
    exec setsid bash -c '[ ! -w /proc/self/autogroup ] || echo 19 >/proc/self/autogroup; exec nice -n 19 "$@"' bash "$@"
}

# A compiler for Rust and what its C parts need. rust-toolchain.toml pins the release.
need_rust() {
    need_null_device
    local cargo_env=${CARGO_HOME:-$HOME/.cargo}/env
    install_packages cc=build-essential
    [ ! -f "$cargo_env" ] || . "$cargo_env"
    if ! command -v cargo >/dev/null; then
        install_packages curl=curl
        # curl only recommends the certificates that it needs.
        [ -e /etc/ssl/certs/ca-certificates.crt ] || install_packages no-certificates=ca-certificates
        say "installing Rust by rustup"
        if curl --proto '=https' --tlsv1.2 -sSf https://static.rust-lang.org/rustup/rustup-init.sh \
            | sh -s -- -y --profile minimal --default-toolchain none >/dev/null; then
            . "$cargo_env"
        elif apt-cache show rustup >/dev/null 2>&1; then
            install_packages rustup=rustup
        else
            die "rustup could not be installed; see https://rustup.rs and run this again"
        fi
    fi
    cargo --version >/dev/null 2>&1 || rustup toolchain install >/dev/null \
        || die "the Rust release of rust-toolchain.toml could not be installed"
}

# Where cargo builds, as an absolute path.
target_dir() { realpath -m "${CARGO_TARGET_DIR:-target}"; }

# Builds the program and sets $binary, unless a caller has done so.
build_server() {
    [ -z "${binary:-}" ] || return 0
    need_rust
    say "building wyoming-stt (the first time takes some minutes)"
    cargo build --quiet --locked --bin wyoming-stt
    binary=$(target_dir)/debug/wyoming-stt
}

# pinned_python NAME FILE: prints a Python that has the packages of a requirements file.
pinned_python() {
    local venv=$(target_dir)/venv-$1
    if ! cmp -s "$2" "$venv/packages.txt"; then
        python3 -c 'import venv, ensurepip' 2>/dev/null || install_packages no-venv=python3-venv >&2
        say "fetching the packages of $2 for Python"
        rm -rf "$venv"
        python3 -m venv "$venv" >&2
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$2" >&2
        cp "$2" "$venv/packages.txt"
    fi
    printf '%s' "$venv/bin/python"
}

# wyoming_python VERSION: prints a Python that has this release of the PyPI library.
wyoming_python() {
    local venv=$(target_dir)/venv-wyoming-$1 wanted=("wyoming==$1")
    if ! "$venv/bin/python" -c 'import wyoming.audio' 2>/dev/null; then
        python3 -c 'import venv, ensurepip' 2>/dev/null || install_packages no-venv=python3-venv >&2
        say "fetching wyoming $1 for Python"
        rm -rf "$venv"
        python3 -m venv "$venv" >&2
        # The oldest release imports a module that Python 3.13 dropped.
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 13))' && wanted+=(audioop-lts)
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${wanted[@]}" >&2
    fi
    printf '%s' "$venv/bin/python"
}

# start_server ARGUMENT…: starts the program on free loopback ports, waits until it is ready, and
# sets $wyoming (HOST:PORT) and $admin (URL). It ends with this script.
start_server() {
    build_server
    server_log=$(mktemp)
    "$binary" serve --uri tcp://127.0.0.1:0 --admin 127.0.0.1:0 --http off "$@" >"$server_log" 2>"$server_log.err" &
    server_id=$!
    trap 'kill "$server_id" 2>/dev/null || true; rm -f "$server_log" "$server_log.err"' EXIT
    local waited=0
    until grep -q '^ready: ' "$server_log"; do
        kill -0 "$server_id" 2>/dev/null || { cat "$server_log.err" >&2; die "the server ended before it was ready"; }
        waited=$((waited + 1))
        [ $waited -lt 600 ] || die "the server was not ready within a minute"
        sleep 0.1
    done
    wyoming=$(sed -n 's#^ready: wyoming tcp://\([^,]*\),.*#\1#p' "$server_log")
    admin=$(sed -n 's#^ready: .*admin \(http://[^,]*\),.*#\1#p' "$server_log")
}

# stop_server: ends what start_server started.
stop_server() {
    kill "$server_id"
    wait "$server_id" || true
    rm -f "$server_log" "$server_log.err"
    trap - EXIT
}
