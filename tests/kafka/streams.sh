#!/usr/bin/env bash
# Kafka Streams' word count (platform/src/WordCount.java), both with at-least-once and exactly-once processing.
#
#   streams.sh BOOTSTRAP DIRECTORY
set -euo pipefail
bootstrap="${1:?bootstrap}" directory="${2:?directory}"
platform="$("$(dirname "${BASH_SOURCE[0]}")/prepare.sh" platform)"
for guarantee in at_least_once exactly_once_v2; do
    java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$platform/classes:$platform/jars/*" \
        WordCount "$bootstrap" "$guarantee" "$directory/$guarantee" 2>"$directory/$guarantee.log" ||
        { tail -30 "$directory/$guarantee.log" >&2; exit 1; }
done
