# A Home Assistant from PyPI; sourced after tests/setup.sh, from the root of the project.

# Prints a Python 3.13, which the pinned Home Assistant needs, if this machine has one.
find_python_313() {
    local candidate
    for candidate in python3.13 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13.*/bin/python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

# Prints a Python that has what requirements.txt names; some 800 MB.
home_assistant_python() {
    local venv python wanted=tests/home-assistant/requirements.txt
    venv=$(target_dir)/venv-home-assistant
    if ! cmp -s "$wanted" "$venv/requirements.txt"; then
        python=$(find_python_313)
        say "fetching Home Assistant for Python (three minutes)"
        rm -rf "$venv"
        "$python" -m venv "$venv" >&2
        # Some of its packages are built here.
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted" >&2
        cp "$wanted" "$venv/requirements.txt"
    fi
    printf '%s' "$venv/bin/python"
}
