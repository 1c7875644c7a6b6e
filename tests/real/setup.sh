# Real weights and recordings; sourced after tests/setup.sh, from the root of the project.
# What a registry does not have here ends the script with 77, in CI with 1: there it must be had.

left_out() {
    say "left out: $*"
    [ -z "${CI:-}" ] || exit 1
    exit 77
}

# real_weights MODEL…: puts the models into folders of their names and sets $STT_REAL_WEIGHTS to the folder of these.
real_weights() {
    local model status
    export STT_REAL_WEIGHTS=${XDG_CACHE_HOME:-$HOME/.cache}/wyoming-stt/weights
    install_packages python3=python3
    for model in "$@"; do
        [ ! -d "$STT_REAL_WEIGHTS/$model" ] || continue
        say "fetching $model"
        status=0
        crates/server/models/fetch "$model" "$STT_REAL_WEIGHTS/$model" >&2 || status=$?
        [ "$status" != 77 ] || left_out "everything that needs the weights of $model"
        [ "$status" = 0 ] || exit "$status"
    done
}

real_recordings() {
    [ -d /usr/share/pocketsphinx/test/data ] || install_packages no-recordings=pocketsphinx-testdata \
        || left_out "everything that needs recordings of people (Debian's pocketsphinx-testdata)"
}

# real_python NAME: prints a Python that has the packages of tests/real/NAME.txt.
real_python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or newer is needed"
    pinned_python "real-$1" "tests/real/$1.txt"
}
