#!/usr/bin/env bash
# Counts calls on a Slurm cluster: an array of tasks counts a share of the recordings each, and a
# job that follows joins them: see docs/slurm.md. Settings are variables; arguments are flags of
# `capuchinbird count`:
#   INPUT=/project/birds/2026 OUTPUT=/project/birds/results PARTITION=short ./run_slurm.sh
# To see what it would submit, without submitting anything: ./run_slurm.sh --dry-run
set -euo pipefail
here=$PWD # paths are relative to where the caller stands, in the jobs too
project=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

usage() {
    cat >&2 <<'EOF'
Variables (required: INPUT or MANIFEST, OUTPUT):
  INPUT        the recordings: a folder or pattern, on a disk that all nodes reach
  MANIFEST     the recordings: a list or table of them
  OUTPUT       folder for the tables, likewise
  MODEL        folder of a model, likewise (default: the released model, inside the package)
  SHARES       how many shares, and so tasks (default: so many that each takes about an hour)
  ONLY         which of them: numbers as 3,7-9, or missing: those that the last join missed (default:
               all)
  AT_ONCE      how many tasks may run at a time (default: as many as the cluster lets)
  CPUS         cores of a task, 8 at most (default: 4)
  MEMORY       of a task, such as 6G (default: what plan foretells)
  TIME         limit of a task, as minutes or D-HH:MM (default: three times what plan foretells)
  JOIN_MEMORY, JOIN_TIME   the same of the job that joins
  PARTITION, ACCOUNT, QOS  where the jobs go and who pays (default: the cluster's)
  OPTIONS      more options of sbatch, for example '--constraint=avx2 --mail-type=FAIL'
  LOGS         folder for what the jobs print, a file each (default: OUTPUT/logs)
  SCRATCH      folder for temporary files on a node (default: the first that is there of
               $SLURM_TMPDIR, $TMPDIR, /scratch/local and /tmp)
  IMAGE        image built from deploy/apptainer.def (default: PYTHON)
  BIND         more folders that the image must see, for example those a manifest names
  PYTHON       a Python that has the packages, on a disk that all nodes reach (default: one is made
               in .venv)
EOF
    exit 2
}

fail() {
    echo "run_slurm.sh: $1" >&2
    exit 2
}

[ "${1:-}" = --help ] && usage
dry_run=
flags=()
for argument in "$@"; do
    case $argument in
        --dry-run | --dry_run) dry_run=yes ;;
        --share | --share=*) fail "$argument: each task gets its own; SHARES says how many" ;;
        --input* | --manifest* | --output* | --model | --model=*)
            fail "$argument: say it with the variable, in capitals" ;;
        *) flags+=("$argument") ;;
    esac
done
[ -n "${OUTPUT:-}" ] || fail "OUTPUT is not set; ./run_slurm.sh --help explains"
[ -n "${INPUT:-}${MANIFEST:-}" ] || fail "neither INPUT nor MANIFEST is set"
CPUS=${CPUS:-4}
SCRATCH=${SCRATCH:-}
for name in SHARES AT_ONCE CPUS; do
    [[ ${!name:-1} =~ ^[1-9][0-9]*$ ]] || fail "$name=${!name}: give a whole number"
done
[ "$CPUS" -le 8 ] || fail "CPUS=$CPUS: a share uses 8 at most; leave more to more SHARES"
for name in MEMORY JOIN_MEMORY; do
    [[ ${!name:-1G} =~ ^[1-9][0-9]*[KMGT]?$ ]] || fail "$name=${!name}: write it as 6G or 6000M"
done
for name in TIME JOIN_TIME; do
    [[ ${!name:-1} =~ ^[0-9]+(-[0-9]+)?(:[0-9]+){0,2}$ ]] ||
        fail "$name=${!name}: write it as minutes, HH:MM:SS or D-HH:MM"
done
[[ ${ONLY:-missing} =~ ^(missing|[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)$ ]] ||
    fail "ONLY=$ONLY: write it as 3,7-9, or as missing"
if [ "${ONLY:-missing}" != missing ]; then
    [ -n "${SHARES:-}" ] || fail "ONLY=$ONLY needs SHARES: of how many, as before"
    for number in ${ONLY//[-,]/ }; do
        [ "$number" -ge 1 ] && [ "$number" -le "$SHARES" ] ||
            fail "ONLY=$ONLY: no share $number of $SHARES"
    done
fi
[ -z "${IMAGE:-}" ] || [ -z "${PYTHON:-}" ] || fail "give IMAGE or PYTHON, not both"
[ -z "${IMAGE:-}" ] || [ -f "$IMAGE" ] ||
    fail "IMAGE=$IMAGE: no such file; docs/slurm.md says how to build it"
[ -z "${BIND:-}" ] || [ -n "${IMAGE:-}" ] || fail "BIND is for IMAGE; all else sees all folders"
[ -n "$dry_run" ] || command -v sbatch >/dev/null ||
    fail "no sbatch here; run it where you submit jobs, or with --dry-run"
if [ -z "${LOGS:-}" ]; then
    case $OUTPUT in
        *://*) fail "LOGS is not set, and OUTPUT is no folder of a disk" ;;
        *) LOGS=${OUTPUT%/}/logs ;;
    esac
fi

# What runs, here and on the nodes.
if [ -n "${IMAGE:-}" ]; then
    folders=("$here")
    for path in "${INPUT:-}" "${MANIFEST:-}" "$OUTPUT" "${MODEL:-}"; do
        case $path in
            '' | *://*) continue ;;
        esac
        folder=$(readlink -m -- "${path%%[*?[]*}") # of a pattern, what stands before it
        while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
        folders+=("$folder")
    done
    binds=$(printf '%s\n' "${folders[@]}" | sort -u | paste -sd, -)${BIND:+,$BIND}
    container=(apptainer exec --bind "$binds" "$(readlink -f "$IMAGE")")
    python=("${container[@]}" python3)
    program=("${container[@]}" capuchinbird)
    PYTHONPATH= # of this machine
else
    if [ -z "${PYTHON:-}" ]; then
        cd "$project"
        source scripts/environment.sh
        use_environment requirements.txt
        cd "$here"
    fi
    export PYTHONPATH=$project${PYTHONPATH:+:$PYTHONPATH}
    python=("$PYTHON")
    program=("$PYTHON" -m pipeline)
fi
what=()
[ -z "${INPUT:-}" ] || what+=(--input="$INPUT")
[ -z "${MANIFEST:-}" ] || what+=(--manifest="$MANIFEST")
[ -z "${MODEL:-}" ] || what+=(--model="$MODEL")
what+=("${flags[@]}")

# What is not set, from what an earlier join missed and from what the run is foretold to take.
ask() { "${python[@]}" - "$@" <"$project/scripts/slurm_tasks.py"; }
if [ "${ONLY:-}" = missing ]; then
    answer=$(ask missing "$OUTPUT" "${SHARES:-0}") || exit $?
    read -r SHARES ONLY <<<"$answer"
fi
if [ -z "${SHARES:-}" ] || [ -z "${TIME:-}" ] || [ -z "${MEMORY:-}" ] ||
    [ -z "${JOIN_TIME:-}" ] || [ -z "${JOIN_MEMORY:-}" ]; then
    # With a share, so that what a share cannot do is refused here.
    plan=$("${program[@]}" plan "${what[@]}" --output="$OUTPUT" --share=1/1 --json) || exit 2
    answer=$(ask sizes "$plan" "$CPUS" "${SHARES:-0}") || exit $?
    read -r shares minutes memory join_minutes join_memory <<<"$answer"
    SHARES=${SHARES:-$shares}
    TIME=${TIME:-$minutes}
    MEMORY=${MEMORY:-$memory}
    JOIN_TIME=${JOIN_TIME:-$join_minutes}
    JOIN_MEMORY=${JOIN_MEMORY:-$join_memory}
fi
ONLY=${ONLY:-1-$SHARES}

for name in INPUT MANIFEST OUTPUT MODEL SHARES ONLY AT_ONCE CPUS MEMORY TIME JOIN_MEMORY JOIN_TIME \
    PARTITION ACCOUNT QOS OPTIONS LOGS SCRATCH IMAGE BIND PYTHON; do
    printf '%-12s %s\n' "$name" "${!name:--}" >&2
done

# What both jobs are asked for with. LOGS may hold a %, which Slurm would read as a pattern.
common=(--parsable --chdir="$here" --requeue --open-mode=append --nodes=1 --ntasks=1)
[ -z "${PARTITION:-}" ] || common+=(--partition="$PARTITION")
[ -z "${ACCOUNT:-}" ] || common+=(--account="$ACCOUNT")
[ -z "${QOS:-}" ] || common+=(--qos="$QOS")
read -ra more <<<"${OPTIONS:-}"
logs=${LOGS//%/%%}
count_options=("${common[@]}" --job-name=capuchinbird --array="$ONLY${AT_ONCE:+%$AT_ONCE}"
    --cpus-per-task="$CPUS" --mem="$MEMORY" --time="$TIME" --output="$logs/%A_%a.txt" "${more[@]}")
join_options=("${common[@]}" --job-name=capuchinbird-join
    --cpus-per-task=1 --mem="$JOIN_MEMORY" --time="$JOIN_TIME" --output="$logs/%j_join.txt"
    "${more[@]}")

# The jobs' scripts end in exec: a program that is killed would else be taken for one that is done.
start=$(
    cat <<EOF
#!/usr/bin/env bash
set -euo pipefail
for scratch in ${SCRATCH@Q} "\${SLURM_TMPDIR:-}" "\${TMPDIR:-}" /scratch/local /tmp; do
    [ -z "\$scratch" ] || [ ! -d "\$scratch" ] || [ ! -w "\$scratch" ] || break
done
export TMPDIR=\$scratch PYTHONPATH=${PYTHONPATH@Q}${IMAGE:+ APPTAINER_BIND=\$scratch}
echo "\$(date '+%F %T') \${SLURM_JOB_ID} on \${SLURMD_NODENAME}, temporary files in \$TMPDIR"
EOF
)
count_script="$start
exec ${program[*]@Q} count ${what[*]@Q} --output=${OUTPUT@Q} --share=\"\$SLURM_ARRAY_TASK_ID/$SHARES\""
join_script="$start
exec ${program[*]@Q} join ${OUTPUT@Q}"

if [ -n "$dry_run" ]; then
    printf "sbatch %s <<'END'\n%s\nEND\n" "${count_options[*]@Q}" "$count_script" \
        "--dependency=afterany:ARRAY ${join_options[*]@Q}" "$join_script"
    exit
fi
mkdir -p "$LOGS"
array=$(sbatch "${count_options[@]}" <<<"$count_script") || exit 1
array=${array%%;*} # a cluster's name may follow
join=$(sbatch --dependency="afterany:$array" "${join_options[@]}" <<<"$join_script") || {
    echo "run_slurm.sh: array $array was submitted, but not the job that joins; when the array has" \
        "ended: ./run_local.sh join $OUTPUT" >&2
    exit 1
}
echo "$array ${join%%;*}"
cat >&2 <<EOF
submitted: array $array, and ${join%%;*}, which joins when all its tasks have ended
  squeue --jobs=$array,${join%%;*}           where the jobs stand
  ./run_local.sh status $OUTPUT              where the recordings stand
  scancel $array            ends the tasks; what is counted stays
  $LOGS           what they print
EOF
