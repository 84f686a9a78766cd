#!/usr/bin/env bash
# Counts calls on an Apache Flink cluster, through Beam's job server: see docs/flink.md (tested on
# Prism and Beam's own job service, never on Flink). Settings are variables; arguments are flags of
# `capuchinbird count`:
#   JOB_SERVER=flink-host:8099 PARALLELISM=16 WORKER_POOL=localhost:50000 \
#   INPUT='gs://my-recordings/2026-03-01/**' OUTPUT=gs://my-results/2026-03-01 ./run_flink.sh
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" # also when called by a link from elsewhere

usage() {
    cat >&2 <<'EOT'
Variables (required: JOB_SERVER or FLINK_MASTER, PARALLELISM, INPUT or MANIFEST, OUTPUT):
  JOB_SERVER       HOST:PORT of Beam's job server for the cluster
  FLINK_MASTER     HOST:PORT of the cluster's REST service, to start a job server for this job only
  JOB_SERVER_JAR   its file, beam-runners-flink-FLINK-job-server-BEAM.jar (with FLINK_MASTER)
  ARTIFACTS        folder for staged files that all task managers reach (with FLINK_MASTER; default:
                   OUTPUT/artifacts)
  PARALLELISM      how many parts of a step run at a time: the slots of the cluster
  WORKER_POOL      HOST:PORT of a worker pool as a task manager sees it; one runs beside each
                   (default: localhost:50000)
  IMAGE            container image built from Dockerfile, started by the task managers instead of
                   a pool (they need Docker)
  INPUT            the recordings: a gs:// folder or pattern, or a full path that is the same on all
                   hosts
  MANIFEST         the recordings: a list or table of them, likewise
  OUTPUT           folder for the tables, likewise
  MODEL            folder of a model, likewise (default: the released model, inside the package)
  DATASET, NIGHT   BigQuery PROJECT.DATASET and its partition YYYY-MM-DD (default: no BigQuery)
  TEMP_LOCATION    gs:// folder for files on their way to BigQuery (default: OUTPUT/temp)
  PYTHON           a Python that has the packages (default: one is made in .venv)
EOT
    exit 2
}

fail() {
    echo "run_flink.sh: $1" >&2
    exit 2
}

[ "${1:-}" = --help ] && usage
for name in PARALLELISM OUTPUT; do
    [ -n "${!name:-}" ] || fail "$name is not set; ./run_flink.sh --help explains"
done
[ -n "${INPUT:-}${MANIFEST:-}" ] || fail "neither INPUT nor MANIFEST is set"
[ -n "${JOB_SERVER:-}${FLINK_MASTER:-}" ] || fail "neither JOB_SERVER nor FLINK_MASTER is set"
[ -z "${JOB_SERVER:-}" ] || [ -z "${FLINK_MASTER:-}" ] ||
    fail "give JOB_SERVER or FLINK_MASTER, not both: a job server knows its cluster"
if [ -n "${FLINK_MASTER:-}" ]; then
    [ -n "${JOB_SERVER_JAR:-}" ] || fail "FLINK_MASTER needs JOB_SERVER_JAR"
    [ -f "$JOB_SERVER_JAR" ] || fail "JOB_SERVER_JAR=$JOB_SERVER_JAR: no such file"
    ARTIFACTS=${ARTIFACTS:-${OUTPUT%/}/artifacts}
else
    [ -z "${ARTIFACTS:-}" ] || fail "ARTIFACTS is a setting of the job server (--artifacts-dir)"
fi
[ -z "${IMAGE:-}" ] || [ -z "${WORKER_POOL:-}" ] || fail "give WORKER_POOL or IMAGE, not both"
[ -n "${IMAGE:-}" ] || WORKER_POOL=${WORKER_POOL:-localhost:50000}
for name in JOB_SERVER FLINK_MASTER WORKER_POOL; do
    [ -z "${!name:-}" ] || [[ ${!name} =~ ^[^/[:space:]]+:[0-9]+$ ]] ||
        fail "$name=${!name}: write it as HOST:PORT"
done
[[ $PARALLELISM =~ ^[1-9][0-9]*$ ]] || fail "PARALLELISM=$PARALLELISM: give a whole number"
for name in INPUT MANIFEST OUTPUT MODEL ARTIFACTS; do
    case "${!name:-/}" in
        /* | gs://*) ;;
        *) fail "$name=${!name}: write a full path that is the same on all hosts, or gs://BUCKET/..." ;;
    esac
done
[ -z "${NIGHT:-}" ] || [[ $NIGHT =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] ||
    fail "NIGHT=$NIGHT: write it as YYYY-MM-DD"
[ -n "${DATASET:-}" ] && [ -z "${NIGHT:-}" ] && fail "DATASET needs NIGHT, the partition to write"

arguments=(--runner=FlinkRunner --parallelism="$PARALLELISM" --output="$OUTPUT")
if [ -n "${JOB_SERVER:-}" ]; then
    arguments+=(--job_endpoint="$JOB_SERVER")
else
    arguments+=(--flink_master="$FLINK_MASTER" --flink_job_server_jar="$JOB_SERVER_JAR")
    arguments+=(--artifacts_dir="$ARTIFACTS")
fi
if [ -n "${IMAGE:-}" ]; then
    arguments+=(--environment_type=DOCKER --environment_config="$IMAGE")
else
    arguments+=(--environment_type=EXTERNAL --environment_config="$WORKER_POOL")
fi
[ -z "${INPUT:-}" ] || arguments+=(--input="$INPUT")
[ -z "${MANIFEST:-}" ] || arguments+=(--manifest="$MANIFEST")
[ -z "${MODEL:-}" ] || arguments+=(--model="$MODEL")
[ -z "${DATASET:-}" ] || arguments+=(--bigquery="$DATASET" --night="$NIGHT")
[ -z "${TEMP_LOCATION:-}" ] || arguments+=(--temp_location="$TEMP_LOCATION")

for name in JOB_SERVER FLINK_MASTER JOB_SERVER_JAR ARTIFACTS PARALLELISM WORKER_POOL IMAGE INPUT \
    MANIFEST OUTPUT MODEL DATASET NIGHT TEMP_LOCATION; do
    printf '%-16s %s\n' "$name" "${!name:--}" >&2
done

if [ -z "${PYTHON:-}" ]; then
    source scripts/environment.sh
    use_environment requirements.txt
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
exec "$PYTHON" -m pipeline "${arguments[@]}" "$@"
