#!/usr/bin/env bash
# Makes what a client needs in a directory outside the sources, once, and prints that directory.
#
#   prepare.sh python       a virtual environment with confluent-kafka
#   prepare.sh java         the Java client and our program over it, compiled
#   prepare.sh platform     Kafka Connect, Kafka Streams, Apache Kafka itself and its tools; our Streams program, compiled
#   prepare.sh performance  librdkafka's own rdkafka_performance, compiled from the example in Debian's librdkafka-dev
#
# Ends with code 3 and a line that says why, where a tool or the network is missing; tests then skip, and say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

cache="${MILLPOND_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/millpond/clients}"
what="${1:?python, java, platform or performance}"

have() { command -v "$1" >/dev/null 2>&1; }
lacking() { printf '%s\n' "$*" >&2; exit 3; }

# What the directory is made from is part of its name, so that a change makes a new one.
case "$what" in
python) made_from=(python/requirements.txt) ;;
java) made_from=(java/pom.xml java/src) ;;
platform) made_from=(platform/pom.xml platform/src) ;;
performance) made_from=(/usr/share/doc/librdkafka-dev/examples/rdkafka_performance.c performance/src) ;;
*) lacking "unknown: $what" ;;
esac
[ -e "${made_from[0]}" ] || lacking "${made_from[0]} is missing (Debian: librdkafka-dev)"
digest="$(find "${made_from[@]}" -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-16)"
directory="$cache/$what-$digest"
if [ ! -e "$directory/complete" ]; then
    mkdir -p "$cache"
    # Several tests may want it at once.
    exec 9>"$cache/$what.lock"
    have flock && flock 9
fi
if [ ! -e "$directory/complete" ]; then
    rm -rf "$directory"
    mkdir -p "$directory"
    log="$directory/prepare.log"
    jars() {
        have javac || lacking "no JDK (javac) is installed"
        have mvn || lacking "Maven (mvn) is not installed"
        mvn -q -B -ntp -f "$1/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
            -DoutputDirectory="$directory/jars" >"$log" 2>&1 || lacking "Maven cannot get the jars: $(tail -1 "$log" | cut -c1-200)"
        javac -cp "$directory/jars/*" -d "$directory/classes" "$1"/src/*.java >"$log" 2>&1 ||
            { cat "$log" >&2; exit 1; }
        cp "$1"/src/*.properties "$directory/classes/" 2>/dev/null || true
    }
    case "$what" in
    python)
        have python3 || lacking "python3 is not installed"
        python3 -m venv "$directory/venv" >"$log" 2>&1 || lacking "python3 cannot make a virtual environment (Debian: python3-venv)"
        "$directory/venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: -r python/requirements.txt >"$log" 2>&1 ||
            lacking "pip cannot get confluent-kafka: $(tail -1 "$log" | cut -c1-200)"
        ;;
    java) jars java ;;
    platform) jars platform ;;
    performance)
        have cc || lacking "no C compiler is installed"
        cc -O2 -w -o "$directory/rdkafka_performance" -Iperformance/src -I/usr/include/librdkafka "${made_from[0]}" -lrdkafka -lpthread -lrt -lm >"$log" 2>&1 ||
            lacking "rdkafka_performance does not compile: $(tail -1 "$log" | cut -c1-200)"
        ;;
    esac
    touch "$directory/complete"
fi
printf '%s\n' "$directory"
