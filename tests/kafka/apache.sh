#!/usr/bin/env bash
# Runs Apache Kafka (one KRaft node, from Maven Central) in the foreground over a fresh directory.
#
#   apache.sh PORT DIRECTORY [SETTING=VALUE …]     also uses PORT + 1; the log is DIRECTORY/kafka.log
#
# Settings are Kafka's own defaults but for what one node and short tests need. Extra arguments are appended to them.
set -euo pipefail
port="${1:?port}" directory="${2:?directory}"
shift 2
platform="$("$(dirname "${BASH_SOURCE[0]}")/prepare.sh" platform)"
mkdir -p "$directory"
cat >"$directory/kafka.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$directory/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=8388608
EOF
printf '%s\n' "$@" >>"$directory/kafka.properties"
classes="$platform/classes:$platform/jars/*"
java -cp "$classes" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$directory/kafka.properties" \
    >"$directory/kafka.log" 2>&1
# The heap is what Kafka's own start script gives it.
exec java -Xmx1g -Xms1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -cp "$classes" kafka.Kafka "$directory/kafka.properties" \
    >>"$directory/kafka.log" 2>&1
