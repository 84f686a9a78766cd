#!/usr/bin/env bash
# Sets up the nightly job in a Google Cloud project: three service accounts with as few rights as
# they need, the workflow, its schedule, and alerts by mail. Checked offline
# only, never on Google Cloud: look at --dry_run first.
#
#   PROJECT=p REGION=r BUCKET=gs://b DATASET=d TEMPLATE=gs://b/templates/t.json \
#   IMAGE=r-docker.pkg.dev/p/birds/capuchinbird:1 MODEL=gs://b/models \
#   MAIL=you@example.org deploy/create.sh [--dry_run]
#
# It can be run again, but then adds the alerts once more. --dry_run only prints the commands.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
missing=
for name in PROJECT REGION BUCKET DATASET TEMPLATE IMAGE MODEL MAIL; do
    [ -n "${!name:-}" ] || missing+=" $name"
done
if [ -n "$missing" ]; then
    echo "deploy/create.sh: set$missing, as the top of this file shows; nothing was done" >&2
    exit 2
fi
MAX_WORKERS=${MAX_WORKERS:-20}
SCHEDULE=${SCHEDULE:-0 12 * * *} # after the last upload; UTC
worker=capuchinbird-worker@$PROJECT.iam.gserviceaccount.com
launcher=capuchinbird-launcher@$PROJECT.iam.gserviceaccount.com
clock=capuchinbird-clock@$PROJECT.iam.gserviceaccount.com

case "${1:-}" in
--dry_run) run() { printf '%q ' "$@" && echo; } ;;
"") run() { "$@"; } ;;
*) echo "deploy/create.sh: unknown argument $1" >&2 && exit 2 ;;
esac
account() { # account NAME DESCRIPTION
    gcloud iam service-accounts describe "$1@$PROJECT.iam.gserviceaccount.com" \
        --project="$PROJECT" >/dev/null 2>&1 ||
        run gcloud iam service-accounts create "$1" --project="$PROJECT" --display-name="$2"
}
on_project() { # on_project ACCOUNT ROLE
    run gcloud projects add-iam-policy-binding "$PROJECT" --condition=None --quiet \
        --member="serviceAccount:$1" --role="$2"
}
below() { # below ACCOUNT ROLE FOLDER...: a role for the objects below folders of the bucket
    local expression= folder
    for folder in "${@:3}"; do
        expression+="${expression:+ || }resource.name.startsWith('projects/_/buckets/${BUCKET#gs://}/objects/$folder/')"
    done
    run gcloud storage buckets add-iam-policy-binding "$BUCKET" \
        --member="serviceAccount:$1" --role="$2" \
        --condition="title=${3},expression=$expression"
}

account capuchinbird-worker "Counts recordings"
account capuchinbird-launcher "Starts the nightly count"
account capuchinbird-clock "Wakes the launcher"

# The worker reads the bucket, and can neither change nor delete a recording. Conditions on folders
# need uniform bucket-level access. roles/dataflow.worker would let it read and write every bucket
# of the project, so it gets a role with the rest of that role's permissions.
role=create
if gcloud iam roles describe capuchinbird_worker --project="$PROJECT" >/dev/null 2>&1; then
    role=update
fi
run gcloud iam roles "$role" capuchinbird_worker --project="$PROJECT" --stage=GA --quiet \
    --title="Capuchinbird worker" --permissions="$(printf '%s,' \
        autoscaling.sites.{readRecommendations,writeMetrics,writeState} \
        compute.instanceGroupManagers.update compute.instances.{delete,setDiskAutoDelete} \
        dataflow.jobs.get dataflow.shuffle.{read,write} \
        dataflow.workItems.{lease,sendMessage,update} \
        logging.logEntries.create)monitoring.timeSeries.create"
on_project "$worker" "projects/$PROJECT/roles/capuchinbird_worker"
on_project "$worker" roles/artifactregistry.reader
on_project "$worker" roles/bigquery.jobUser
run gcloud storage buckets add-iam-policy-binding "$BUCKET" \
    --member="serviceAccount:$worker" --role=roles/storage.objectViewer
run gcloud storage buckets add-iam-policy-binding "$BUCKET" \
    --member="serviceAccount:$worker" --role=roles/storage.legacyBucketReader
below "$worker" roles/storage.objectUser results temp staging
run bq --project_id="$PROJECT" query --use_legacy_sql=false \
    "GRANT \`roles/bigquery.dataEditor\` ON SCHEMA \`$PROJECT.$DATASET\` TO 'serviceAccount:$worker'"

# The launcher starts jobs that act as the worker, and sees neither recordings nor tables.
on_project "$launcher" roles/dataflow.developer
on_project "$launcher" roles/logging.logWriter
below "$launcher" roles/storage.objectViewer templates
run gcloud iam service-accounts add-iam-policy-binding "$worker" --project="$PROJECT" \
    --member="serviceAccount:$launcher" --role=roles/iam.serviceAccountUser

run gcloud workflows deploy capuchinbird-nightly --project="$PROJECT" --location="$REGION" \
    --source=workflow.yaml --service-account="$launcher" \
    --set-env-vars="BUCKET=$BUCKET,DATASET=$DATASET,TEMPLATE=$TEMPLATE,IMAGE=$IMAGE,MODEL=$MODEL,WORKER=$worker,MAX_WORKERS=$MAX_WORKERS"

# The clock may start workflows, and nothing else.
on_project "$clock" roles/workflows.invoker
schedule=create
if gcloud scheduler jobs describe capuchinbird-nightly --project="$PROJECT" \
    --location="$REGION" >/dev/null 2>&1; then
    schedule=update
fi
run gcloud scheduler jobs "$schedule" http capuchinbird-nightly --project="$PROJECT" \
    --location="$REGION" --schedule="$SCHEDULE" --time-zone=Etc/UTC --http-method=POST \
    --uri="https://workflowexecutions.googleapis.com/v1/projects/$PROJECT/locations/$REGION/workflows/capuchinbird-nightly/executions" \
    --message-body='{"argument": "{}"}' --oauth-service-account-email="$clock"


# Alerts: nights that failed, from the results of the workflow's executions; drift and recordings that
# failed, from what jobs log.
channel=$(gcloud beta monitoring channels list --project="$PROJECT" --format='value(name)' \
    --filter="labels.email_address=$MAIL" 2>/dev/null | head -n 1 || true)
if [ -z "$channel" ]; then
    run gcloud beta monitoring channels create --project="$PROJECT" --type=email \
        --display-name="Capuchinbird nights" --channel-labels="email_address=$MAIL"
    echo "Now run this script again: the alerts need the channel that was just made." >&2
else
    for policy in alert.yaml alert-drift.yaml alert-failures.yaml; do
        run gcloud alpha monitoring policies create --project="$PROJECT" \
            --notification-channels="$channel" --policy-from-file="$policy"
    done
fi
