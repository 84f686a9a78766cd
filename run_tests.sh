#!/usr/bin/env bash
# Runs the checks, and the tests side by side on up to four cores. Arguments go to pytest, for example
# ./run_tests.sh -k windows
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/environment.sh
use_environment tests/emulators-requirements.txt .emulators-env
use_environment requirements-dev.txt
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
# Types are checked beside the tests, and what is wrong with them is said below these.
types=$(mktemp)
trap 'rm -f "$types"' EXIT
"$PYTHON" -m mypy >"$types" 2>&1 &
mypy=$!
code=0
# A process that has run out of tests takes half of another's, so fixtures of a module mostly stay in
# one process. Each needs 1 to 2 GB for TensorFlow.
"$PYTHON" -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal "$@" || code=$?
wait "$mypy" || code=$((code ? code : $?))
cat "$types"
exit "$code"
