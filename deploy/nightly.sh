#!/usr/bin/env bash
# Counts what is new in an archive. cron or systemd starts it on a single machine.
#
#   ARCHIVE=/srv/recordings RESULTS=/srv/results deploy/nightly.sh [FLAGS OF capuchinbird count]
#
# ARCHIVE      folder or bucket with all recordings; those already counted are left out
# RESULTS      folder or bucket for tables, scores and ledger
# CANARIES     optional: CSV with recording,call_count; if one is counted differently, nothing is run
# DEPLOYMENTS  optional: CSV with folder,site,latitude,longitude,time_zone
# LOCK         optional: file that keeps a second run from starting (default: in /tmp)
#
# Exit codes: those of the job (./run_local.sh --help), 4 if a canary is counted differently,
# 5 if an earlier run is still going on.
set -euo pipefail
: "${ARCHIVE:?set it to the folder or bucket with the recordings}"
: "${RESULTS:?set it to the folder or bucket for the tables}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
use_environment requirements.txt
export PYTHONPATH=$PWD

# Two runs at once would do no harm, only the same work twice.
exec 9>"${LOCK:-/tmp/capuchinbird-$(id -u).lock}"
flock --nonblock 9 || {
    echo "deploy/nightly.sh: an earlier run is still going on; nothing was started" >&2
    exit 5
}

model=()
previous=
for argument in "$@"; do
    case $argument in --model=*) model=("$argument") ;; esac
    [ "$previous" != --model ] || model=(--model "$argument")
    previous=$argument
done
if [ -n "${CANARIES:-}" ]; then
    "$PYTHON" -m pipeline canaries --manifest "$CANARIES" "${model[@]}"
fi
deployments=()
if [ -n "${DEPLOYMENTS:-}" ]; then
    deployments=(--deployments "$DEPLOYMENTS")
fi
exec "$PYTHON" -m pipeline --input "$ARCHIVE" --output "$RESULTS" "${deployments[@]}" "$@"
