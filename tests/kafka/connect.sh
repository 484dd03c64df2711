#!/usr/bin/env bash
# Kafka Connect's standalone worker with its file source and file sink: lines of one file go through a topic to another.
#
#   connect.sh BOOTSTRAP DIRECTORY
#
# The worker is stopped and started again in the middle; its source's offsets are in a file, its sink's in a group.
set -euo pipefail
bootstrap="${1:?bootstrap}" directory="${2:?directory}"
platform="$("$(dirname "${BASH_SOURCE[0]}")/prepare.sh" platform)"
mkdir -p "$directory"
topic="connect-$$-$RANDOM" input="$directory/input.txt" output="$directory/output.txt" worker=
stop_worker() {
    [ -z "$worker" ] || { kill "$worker" 2>/dev/null; wait "$worker"; } || true
    worker=
}
trap stop_worker EXIT

cat >"$directory/worker.properties" <<EOF
bootstrap.servers=$bootstrap
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.storage.file.filename=$directory/offsets
offset.flush.interval.ms=1000
plugin.discovery=service_load
listeners=http://127.0.0.1:0
consumer.metadata.max.age.ms=1000
EOF
cat >"$directory/source.properties" <<EOF
name=lines-in-$topic
connector.class=FileStreamSource
tasks.max=1
file=$input
topic=$topic
EOF
cat >"$directory/sink.properties" <<EOF
name=lines-out-$topic
connector.class=FileStreamSink
tasks.max=1
file=$output
topics=$topic
EOF
start_worker() {
    java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$platform/classes:$platform/jars/*" \
        org.apache.kafka.connect.cli.ConnectStandalone \
        "$directory/worker.properties" "$directory/source.properties" "$directory/sink.properties" \
        >>"$directory/connect.log" 2>&1 &
    worker=$!
}
wait_for_lines() {
    for _ in $(seq 600); do
        [ "$(cat "$output" 2>/dev/null | wc -l)" -ge "$1" ] && return
        kill -0 "$worker" 2>/dev/null || { tail -50 "$directory/connect.log" >&2; exit 1; }
        sleep 0.2
    done
    printf 'only %s of %s lines have come\n' "$(cat "$output" | wc -l)" "$1" >&2
    tail -50 "$directory/connect.log" >&2
    exit 1
}

# Characters of one byte only: the file source counts characters and seeks bytes.
: >"$input"
rm -f "$output" "$directory/offsets"
start_worker
for i in $(seq 1000); do printf 'line %s, "quoted"\n' "$i"; done >>"$input"
wait_for_lines 1000
stop_worker # an orderly end: what was read and written is committed
for i in $(seq 1001 1500); do printf 'line %s, "quoted"\n' "$i"; done >>"$input"
start_worker
wait_for_lines 1500
stop_worker
# The file source promises each line at least once, the orderly end makes it exactly once, in order.
diff "$input" "$output" >"$directory/difference" || { head -5 "$directory/difference" >&2; exit 1; }
printf 'ok Kafka Connect: 1500 lines from a file through topic %s to a file\n' "$topic"
