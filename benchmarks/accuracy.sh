#!/usr/bin/env bash
# Compares the model with BirdNET V2.4 on forest recordings, clips and leks, e.g.
#   benchmarks/accuracy.sh --forest FOREST --clips CLIPS --folds my_model-training --json accuracy.json
# BirdNET gets an environment of its own, made once. Its network is licensed CC BY-NC-SA 4.0: not for
# commercial use.
set -euo pipefail

# Paths in the arguments are relative to where the caller stands.
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
source scripts/environment.sh
use_environment benchmarks/birdnet-requirements.txt .birdnet-env
birdnet_python=$PYTHON
use_environment requirements.txt

export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
cd "$here"
exec "$PYTHON" -m benchmarks.accuracy --birdnet_python "$birdnet_python" "$@"
