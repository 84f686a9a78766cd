#!/usr/bin/env bash
# Runs a command on this machine. Without arguments: a demo on recordings made on the spot. Flags
# count; a word names a command (./run_local.sh --help lists them), for example
#   ./run_local.sh count 'recordings/*.wav' --output results
#   ./run_local.sh show recordings/REC_0001.wav --output rec_0001.png
set -euo pipefail

# Patterns and folders in the arguments are relative to where the caller stands.
here=$PWD
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" # also when called by a link from elsewhere
source scripts/environment.sh
use_environment requirements.txt
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
cd "$here"
if [ $# -eq 0 ]; then
    set -- demo
fi
exec "$PYTHON" -m pipeline "$@"
