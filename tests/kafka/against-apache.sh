#!/usr/bin/env bash
# Runs the tests with Kafka clients against Apache Kafka instead of Millpond: what they expect is what Kafka does.
# Further arguments go to the tests, `--nocapture` for one. With MILLPOND_TEST_PLATFORM=1 also Connect and Streams.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
directory="$(mktemp -d)"
port="${MILLPOND_APACHE_PORT:-29092}"
"$here/prepare.sh" platform >/dev/null
"$here/apache.sh" "$port" "$directory" &
kafka=$!
trap 'kill $kafka 2>/dev/null; wait $kafka 2>/dev/null; rm -rf "$directory"' EXIT
for _ in $(seq 600); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    kill -0 "$kafka" || { tail -20 "$directory/kafka.log" >&2; exit 1; }
    sleep 0.1
done
cd "$here/.."
MILLPOND_TEST_KAFKA="127.0.0.1:$port" cargo test --workspace --test it -- kafka_ "$@"
