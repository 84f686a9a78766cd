#!/usr/bin/env bash
# Compares the pipeline with the tutorial's loop, with decoding alone and with a plain loop, e.g.
#   benchmarks/run.sh
#   benchmarks/run.sh --input 'recordings/*.mp3' --rounds 5 --json speed.json
# The tutorial's loop needs TensorFlow 2.16 and so an environment of its own, made once.
set -euo pipefail

# Patterns in the arguments are relative to where the caller stands.
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
source scripts/environment.sh
use_environment requirements.txt

list=benchmarks/tutorial-requirements.txt
tutorial_python=$root/.benchmark-env/bin/python
stamp=.benchmark-env/installed.sha256
if ! sha256sum --status --check "$stamp" 2>/dev/null; then
    echo "Installing the tutorial's environment into .benchmark-env, the first time only ..." >&2
    python3.11 -m venv .benchmark-env || {
        echo "$0: that environment needs Python 3.11; without it, run python -m benchmarks.run" >&2
        exit 2
    }
    "$tutorial_python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --require-hashes -r "$list"
    sha256sum "$list" >"$stamp"
fi

export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
cd "$here"
exec "$PYTHON" -m benchmarks.run --tutorial_python "$tutorial_python" "$@"
