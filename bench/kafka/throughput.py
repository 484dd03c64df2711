#!/usr/bin/env python3
"""How many bytes a second go in and out, against Apache Kafka?

Both servers run at the same time on the same disk and take turns: librdkafka's own rdkafka_performance (`--client java`:
Kafka's kafka-producer-perf-test and kafka-consumer-perf-test) writes messages into a fresh topic of each, acks = 1, lz4,
then reads them back. The median of the rounds counts; to reach: a ratio of 1. The processor time is the server's, which
is what is left to compare on a machine where the client takes most of it.
"""

import argparse
import re
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True

from servers import Apache, Millpond, binary_argument, prepare


def librdkafka(program, server, topic, size, count):
    """MB/s of writing and reading."""
    common = ["-t", topic, "-b", server.address, "-c", str(count), "-q"]
    def run(*arguments):
        done = subprocess.run([program, *arguments, *common], capture_output=True, text=True, check=True)
        text = done.stdout + done.stderr
        found = re.search(r"([\d.]+) MB/s", text)
        assert found and f"{count} messages" in text and "(offset" not in text or "0 failed" in text, text[-500:]
        return float(found[1])
    return (lambda: run("-P", "-p", "0", "-s", str(size), "-a", "1", "-z", "lz4", "-X", "linger.ms=5"),
            lambda: run("-C", "-p", "0", "-o", "beginning"))


def java(platform, server, topic, size, count):
    base = ["java", "-Xmx512m", "-cp", f"{platform}/classes:{platform}/jars/*"]
    def run(pattern, name, *arguments):
        done = subprocess.run([*base, f"org.apache.kafka.tools.{name}", "--topic", topic, *arguments],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-1000:]
        return re.findall(pattern, done.stdout)
    def produce():
        found = run(r"\(([\d.]+) MB/sec\)", "ProducerPerformance", "--num-records", str(count), "--record-size", str(size),
                    "--throughput", "-1", "--producer-props", f"bootstrap.servers={server.address}", "acks=1",
                    "compression.type=lz4", "linger.ms=5")
        return float(found[-1]) * 1.048576
    def consume():
        # The last line: start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s.
        found = run(r"(?m)^\S+ \S+, \S+ \S+, ([\d.]+), ([\d.]+), (\d+), [\d.]+, -?\d+, \d+, ([\d.]+)", "ConsumerPerformance",
                    "--bootstrap-server", server.address, "--messages", str(count), "--timeout", "60000")
        # Without the time that the group takes to form.
        return float(found[-1][3]) * 1.048576
    return produce, consume


def measure(server, action):
    before = server.cpu_seconds()
    speed = action()
    return speed, server.cpu_seconds() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    binary_argument(parser)
    parser.add_argument("--client", choices=["librdkafka", "java"], default="librdkafka")
    parser.add_argument("--sizes", default="100,1024", help="bytes of a message")
    parser.add_argument("--mb", type=int, default=300, help="MB of messages in a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    client, made = (librdkafka, prepare("performance") / "rdkafka_performance") if options.client == "librdkafka" else (
        java, prepare("platform"))
    with Apache() as apache, Millpond(options.millpond) as millpond:
        for size in map(int, options.sizes.split(",")):
            count = options.mb * 1_000_000 // size
            results = {(server.name, way): [] for server in (apache, millpond) for way in ("produce", "consume")}
            # The first round warms Kafka's just-in-time compiler.
            for turn in range(options.rounds + 1):
                for server in (apache, millpond) if turn % 2 else (millpond, apache):
                    produce, consume = client(made, server, f"bench-{size}-{turn}", size, count)
                    for way, action in (("produce", produce), ("consume", consume)):
                        result = measure(server, action)
                        if turn:
                            results[server.name, way].append(result)
            for way in ("produce", "consume"):
                speeds, costs = {}, {}
                for server in (apache, millpond):
                    speeds[server] = statistics.median(speed for speed, _ in results[server.name, way])
                    costs[server] = statistics.median(cost for _, cost in results[server.name, way])
                print(f"{options.client}, {size} bytes, {way}: Apache Kafka {speeds[apache]:.1f} MB/s, Millpond "
                      f"{speeds[millpond]:.1f} MB/s, ratio {speeds[millpond] / speeds[apache]:.2f} (to reach: 1); processor "
                      f"seconds of the server for {options.mb} MB: {costs[apache]:.2f} and {costs[millpond]:.2f}", flush=True)


if __name__ == "__main__":
    main()
