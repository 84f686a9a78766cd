#!/usr/bin/env bash
# Counts calls on Google Cloud Dataflow (tested only against local emulators, never on Google
# Cloud). Settings are variables; arguments are flags of `capuchinbird count`:
#   PROJECT=my-project REGION=europe-west1 INPUT='gs://my-recordings/2026-03-01/**' \
#   OUTPUT=gs://my-results/2026-03-01 ./run_dataflow.sh --no_wait
# To see what it would take and cost, without starting anything: ./run_dataflow.sh --plan
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat >&2 <<'EOF'
Variables (required: PROJECT, REGION, INPUT or MANIFEST, OUTPUT):
  PROJECT          Google Cloud project that runs and pays for the job
  REGION           where it runs, for example europe-west1; choose one near the bucket
  INPUT            the recordings: a gs:// folder or pattern
  MANIFEST         the recordings: a gs:// list or table of them
  OUTPUT           gs:// folder for the tables
  TEMP_LOCATION    gs:// folder for temporary files (default: OUTPUT/temp)
  MODEL            gs:// folder of a model (default: the released model, inside the package)
  DATASET, NIGHT   BigQuery PROJECT.DATASET and its partition YYYY-MM-DD (default: no BigQuery)
  MACHINE_TYPE     machine type of the workers (default: n2-standard-4)
  MAX_WORKERS      the most workers at a time (default: 10)
  SERVICE_ACCOUNT  account that the workers act as (default: the project's Compute Engine account)
  IMAGE            container image built from Dockerfile (default: each worker installs the package
                   from setup.py when it starts, which takes some minutes)
  SUBNETWORK       regions/REGION/subnetworks/NAME, only with IMAGE, for its workers have no public
                   addresses (default: the project's default network)
  PYTHON           a Python that has the packages (default: one is made in .venv)
EOF
    exit 2
}

fail() {
    echo "run_dataflow.sh: $1" >&2
    exit 2
}

[ "${1:-}" = --help ] && usage
for name in PROJECT REGION OUTPUT; do
    [ -n "${!name:-}" ] || fail "$name is not set; ./run_dataflow.sh --help explains"
done
[ -n "${INPUT:-}${MANIFEST:-}" ] || fail "neither INPUT nor MANIFEST is set"
TEMP_LOCATION=${TEMP_LOCATION:-${OUTPUT%/}/temp}
MACHINE_TYPE=${MACHINE_TYPE:-n2-standard-4}
MAX_WORKERS=${MAX_WORKERS:-10}
for name in INPUT MANIFEST OUTPUT TEMP_LOCATION MODEL; do
    case "${!name:-gs://}" in
        gs://*) ;;
        *) fail "$name=${!name}: workers reach buckets only; write gs://BUCKET/..." ;;
    esac
done
[[ $MAX_WORKERS =~ ^[1-9][0-9]*$ ]] || fail "MAX_WORKERS=$MAX_WORKERS: give a whole number"
[ -z "${NIGHT:-}" ] || [[ $NIGHT =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] ||
    fail "NIGHT=$NIGHT: write it as YYYY-MM-DD"
[ -z "${SUBNETWORK:-}" ] || [ -n "${IMAGE:-}" ] ||
    fail "SUBNETWORK needs IMAGE: its workers have no public address to install the package from"
[ -n "${DATASET:-}" ] && [ -z "${NIGHT:-}" ] && fail "DATASET needs NIGHT, the partition to write"

arguments=(
    --runner=DataflowRunner
    --project="$PROJECT" --region="$REGION"
    --output="$OUTPUT" --temp_location="$TEMP_LOCATION"
    --staging_location="${TEMP_LOCATION%/}/staging"
    --machine_type="$MACHINE_TYPE" --max_num_workers="$MAX_WORKERS"
    --job_name="capuchinbird-$(date -u +%Y%m%d-%H%M%S)"
)
[ -z "${INPUT:-}" ] || arguments+=(--input="$INPUT")
[ -z "${MANIFEST:-}" ] || arguments+=(--manifest="$MANIFEST")
[ -z "${MODEL:-}" ] || arguments+=(--model="$MODEL")
[ -z "${DATASET:-}" ] || arguments+=(--bigquery="$DATASET" --night="$NIGHT")
[ -z "${SERVICE_ACCOUNT:-}" ] || arguments+=(--service_account_email="$SERVICE_ACCOUNT")
[ -z "${SUBNETWORK:-}" ] || arguments+=(--subnetwork="$SUBNETWORK" --no_use_public_ips)
if [ -n "${IMAGE:-}" ]; then
    arguments+=(--sdk_container_image="$IMAGE" --sdk_location=container)
else
    arguments+=(--setup_file="$PWD/setup.py")
fi

for name in PROJECT REGION INPUT MANIFEST OUTPUT TEMP_LOCATION MODEL DATASET NIGHT \
    MACHINE_TYPE MAX_WORKERS SERVICE_ACCOUNT IMAGE SUBNETWORK; do
    printf '%-16s %s\n' "$name" "${!name:--}" >&2
done

if [ -z "${PYTHON:-}" ]; then
    source scripts/environment.sh
    use_environment requirements.txt
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
exec "$PYTHON" -m pipeline "${arguments[@]}" "$@"
