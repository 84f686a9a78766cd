#!/usr/bin/env bash
# Counts calls on this machine. Without arguments: a demo on recordings made on the spot.
# With arguments: they go to the pipeline, for example
#   ./run_local.sh --input 'recordings/*.wav' --output results
set -euo pipefail

# Patterns and folders in the arguments are relative to where the caller stands.
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/environment.sh
use_environment requirements.txt
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
cd "$here"
if [ $# -eq 0 ]; then
    exec "$PYTHON" -m pipeline.commands.demo
fi
exec "$PYTHON" -m pipeline "$@"
