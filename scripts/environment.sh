# Sourced by the scripts at top level: makes an environment from a pinned list and sets $PYTHON.
# A list already installed is not installed again. Needs a Python 3.11 or 3.12 and a package index.

use_environment() { # use_environment LIST [FOLDER]
    local wanted=$1 folder=${2:-.venv} stamp python candidate
    PYTHON=$PWD/$folder/bin/python
    stamp=$folder/installed-${wanted##*/}.sha256
    if [ -x "$PYTHON" ] && sha256sum --status --check "$stamp" 2>/dev/null; then
        return
    fi
    if [ ! -x "$PYTHON" ]; then
        for candidate in python3.11 python3.12 python3; do
            if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
                2>/dev/null; then
                python=$candidate
                break
            fi
        done
        if [ -z "${python:-}" ]; then
            echo "$0: no Python 3.11 or 3.12 found; install one (Debian: apt install python3 python3-venv)" >&2
            exit 2
        fi
        "$python" -m venv "$folder" || {
            echo "$0: cannot make a virtual environment (Debian: apt install python3-venv)" >&2
            exit 2
        }
    fi
    echo "Installing $wanted into $folder: a few minutes, the first time only ..." >&2
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        -r "$wanted" || {
        echo "$0: the installation failed; is a package index within reach?" >&2
        exit 2
    }
    sha256sum "$wanted" >"$stamp"
}
