#!/bin/sh
# Start a server with the settings of server.env beside this file, or of another file:
#   start.sh [mlflow|prefect] [FILE]
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
server=mlflow
case ${1:-} in
    mlflow | prefect) server=$1 && shift ;;
esac
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

needs() {
    for name in "$@"; do
        if ! printenv "$name" > /dev/null; then
            echo "start.sh: $settings sets no $name" >&2
            exit 2
        fi
    done
}

# both servers take all of it from the environment, so that `ps` shows no password
if [ "$server" = prefect ]; then
    needs PREFECT_SERVER_DATABASE_CONNECTION_URL
    exec prefect server start
fi

needs MLFLOW_BACKEND_STORE_URI MLFLOW_ARTIFACTS_DESTINATION
if [ "${MLFLOW_APP:-}" != basic-auth ]; then
    exec mlflow server
fi

# users and permissions lie in the same database; MLflow reads its address from a file, where % is written %%
needs MLFLOW_AUTH_ADMIN_USERNAME MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
export MLFLOW_AUTH_CONFIG_PATH="$settings.basic_auth.ini"
umask 077
cat > "$MLFLOW_AUTH_CONFIG_PATH" << INI
[mlflow]
default_permission = ${MLFLOW_AUTH_DEFAULT_PERMISSION:-READ}
database_uri = $(printf '%s' "$MLFLOW_BACKEND_STORE_URI" | sed 's/%/%%/g')
auth_cache_ttl_seconds = ${MLFLOW_AUTH_CACHE_SECONDS:-60}
INI
exec mlflow server --app-name basic-auth
