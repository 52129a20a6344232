#!/bin/sh
# Make the passwords of the composition, once: random, in a volume of its own, in the forms in which each service reads
# them. Nothing of it is in the environment, in an image or in this repository.
#   make_secrets.sh FOLDER
set -eu

folder=$1
umask 077
mkdir -p "$folder"
if [ -f "$folder/ready" ]; then
    exit 0
fi

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

database=$(random) store=$(random)
printf '%s' "$database" > "$folder/postgres_password"
printf 'perennial' > "$folder/store_user"
printf '%s' "$store" > "$folder/store_password"
# Postgres and the store read theirs under users of their own; the volume is theirs and ours alone
chmod 644 "$folder/postgres_password" "$folder/store_user" "$folder/store_password"
chmod 755 "$folder"
# libpq and asyncpg (PGPASSFILE), and everything that speaks S3 (AWS_SHARED_CREDENTIALS_FILE)
printf 'postgres:5432:*:perennial:%s\n' "$database" > "$folder/pgpass"
printf '[default]\naws_access_key_id = perennial\naws_secret_access_key = %s\n' "$store" > "$folder/aws"
touch "$folder/ready"
