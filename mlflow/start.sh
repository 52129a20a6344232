#!/bin/sh
# Start the MLflow server with the settings of server.env beside this file, or of another file: start.sh FILE
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
settings=${1:-$here/server.env}
if [ ! -f "$settings" ]; then
    echo "start.sh: no $settings; copy server.env.example and fill it in" >&2
    exit 2
fi

# read, not sourced: a password may hold any character; an empty value means unset
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
        '' | \#* | *=) ;;
        *=*) export "$line" ;;
    esac
done < "$settings"

for name in MLFLOW_BACKEND_STORE_URI MLFLOW_ARTIFACTS_DESTINATION; do
    if ! printenv "$name" > /dev/null; then
        echo "start.sh: $settings sets no $name" >&2
        exit 2
    fi
done

# `mlflow server` takes all of it from the environment, so that `ps` shows no password
exec mlflow server
