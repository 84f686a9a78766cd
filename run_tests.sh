#!/usr/bin/env bash
# Runs the checks and the tests. Arguments go to pytest, for example ./run_tests.sh -k windows
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/environment.sh
use_environment tests/emulators-requirements.txt .emulators-env
use_environment requirements-dev.txt
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
exec "$PYTHON" -m pytest "$@"
