# Finds or fetches a CUDA toolkit; sourced by the scripts beside this file behind tests/setup.sh, from the root of the
# project, with $here, this folder, and $work, where to put what is fetched.

# Sets $toolkit, and $licence to where NVIDIA's terms are.
find_toolkit() {
    local nvcc=${CUDA_HOME:+$CUDA_HOME/bin/nvcc}
    [ -n "$nvcc" ] || nvcc=$(command -v nvcc || true)
    [ -n "$nvcc" ] || ! [ -x /usr/local/cuda/bin/nvcc ] || nvcc=/usr/local/cuda/bin/nvcc
    if [ -z "$nvcc" ]; then
        fetch_toolkit
        return
    fi
    [ -x "$nvcc" ] || die "CUDA_HOME=$CUDA_HOME has no bin/nvcc"
    # A distribution's nvcc may be a link out of its toolkit.
    toolkit=$(dirname "$(dirname "$nvcc")")
    [ -e "$toolkit/include/cuda.h" ] || toolkit=$(dirname "$(dirname "$(realpath "$nvcc")")")
    [ -e "$toolkit/include/cuda.h" ] || die "$nvcc has no include/cuda.h beside its bin: point CUDA_HOME at a whole toolkit"
    licence=$(find "$toolkit/" -maxdepth 1 -iname 'EULA*' -o -maxdepth 1 -iname 'LICENSE*' | head -1)
    say "using the CUDA toolkit in $toolkit"
}

fetch_toolkit() {
    local folder=$work/toolkit-$(sha256sum "$here/toolkit.txt" | cut -c 1-12)
    if [ ! -d "$folder" ]; then
        python3 -c 'import venv, ensurepip' 2>/dev/null || install_packages no-venv=python3-venv
        say "fetching the CUDA toolkit from PyPI"
        rm -rf "$work/python" "$work/unfinished"
        python3 -m venv "$work/python"
        "$work/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps \
            --only-binary :all: --require-hashes --requirement "$here/toolkit.txt" --target "$work/unfinished"
        chmod +x "$work"/unfinished/nvidia/*/{bin,nvvm/bin}/*
        rm -rf "$work/python"
        mv "$work/unfinished" "$folder"
    fi
    toolkit=$(echo "$folder"/nvidia/*/bin/nvcc)
    toolkit=${toolkit%/bin/nvcc}
    licence=$(find "$folder" -path '*nvidia_cublas*' -iname 'licen*.txt' | head -1)
    [ -x "$toolkit/bin/nvcc" ] || die "the packages of $here/toolkit.txt have no nvcc"
}
