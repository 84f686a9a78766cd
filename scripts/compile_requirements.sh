#!/usr/bin/env bash
# Pins what pyproject.toml asks for, with hashes. Needs uv (pip install uv). Versions already pinned
# stay unless a range excludes them; add --upgrade-package NAME to move one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compile() { # compile LIST FLAGS
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --custom-compile-command scripts/compile_requirements.sh \
        pyproject.toml -o "$@"
}
launching=(--extra gcp --extra launch --extra train --extra completion)
compile requirements.txt "${launching[@]}" "$@"
page=() # what only the page needs, which no worker makes
for name in contourpy cycler fonttools jinja2 kiwisolver markupsafe matplotlib; do
    page+=(--no-emit-package "$name")
done
compile requirements-worker.txt --extra gcp "${page[@]}" -c requirements.txt "$@"
compile requirements-dev.txt "${launching[@]}" --extra aac --extra dev \
    -c requirements.txt "$@"
