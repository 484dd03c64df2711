#!/bin/sh
# Puts a server through query translation cases of ksqlDB: statements, input records, output records.
#
#   tests/qtt/run.sh DIR [options of DIR/run.py]
#
# DIR (or $MILLPOND_QTT) holds run.py and cases.jsonl, which are not part of this repository. The
# server is $MILLPOND, or target/release/millpond, or target/debug/millpond. run.py needs Python 3.11
# with psycopg and confluent-kafka; $PYTHON may name an interpreter that has them.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
directory=${MILLPOND_QTT:-}
case ${1:-} in
    '' | -*) ;;
    *)
        directory=$1
        shift
        ;;
esac
if [ -z "$directory" ] || [ ! -f "$directory/run.py" ]; then
    echo "usage: tests/qtt/run.sh DIR [options]; DIR holds run.py and cases.jsonl" >&2
    exit 2
fi

target=${CARGO_TARGET_DIR:-$root/target}
server=${MILLPOND:-}
for candidate in "$target/release/millpond" "$target/debug/millpond"; do
    if [ -z "$server" ] && [ -x "$candidate" ]; then
        server=$candidate
    fi
done
if [ -z "$server" ]; then
    echo "no server: build one with cargo build --release, or name one in MILLPOND" >&2
    exit 2
fi

command="$server server --pg-port {pg_port} --kafka-port {kafka_port} --data-dir {data_dir}"
# The connection of a push query that runs beside the case's own sets nothing, so all begin in ksqlDB's dialect.
# ksqlDB marks rows that go as tombstones, which the runner leaves out; PostgreSQL's protocol has no such mark.
exec "${PYTHON:-python3}" "$directory/run.py" "$directory/cases.jsonl" --server-cmd "$command" \
    --pg-dsn "options='-c dialect=ksqldb -c emit_changes_tombstones=off'" "$@"
