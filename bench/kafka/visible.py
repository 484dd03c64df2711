#!/usr/bin/env python3
"""How long until a record that a Kafka client writes is in the answer of a query over an aggregate?

A producer writes 10,000 JSON records a second to a topic, a view counts and sums them by key. Beside it records with keys
of their own are written one by one, each at a known time, and the view is asked for that key until it is there. To reach:
99 % within 20 ms, answers not waiting for the disk.
"""

import argparse
import json
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from servers import Millpond, binary_argument, prepare


def load(address, rate, seconds):
    """The records beside the measured ones, from a process of its own."""
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": address, "acks": "1", "compression.type": "lz4", "linger.ms": 5})
    begun, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - begun) < seconds:
        while sent < elapsed * rate:
            producer.produce("events", json.dumps({"k": f"key {sent % 1000}", "v": sent}))
            sent += 1
        producer.poll(0)
        time.sleep(0.002)
    left = producer.flush(30)
    print(f"load: {sent / elapsed:.0f} records a second, {left} not delivered", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    binary_argument(parser)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--load", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        import psycopg
        from confluent_kafka import Producer
    except ImportError:  # again with the Python that has them
        python = prepare("python") / "venv" / "bin" / "python"
        sys.exit(subprocess.run([python, *sys.argv]).returncode)
    if options.load:
        address, rate, seconds = options.load
        return load(address, int(rate), float(seconds))
    with Millpond(options.millpond) as server:
        host, port = server.postgres.rsplit(":", 1)
        with psycopg.connect(host=host, port=port, user="bench", dbname="millpond", autocommit=True) as session:
            session.execute("CREATE STREAM events (k TEXT, v BIGINT) WITH (kafka_topic = 'events', value_format = 'JSON', partitions = 1)")
            session.execute("CREATE MATERIALIZED VIEW totals AS SELECT k, count(*) AS n, sum(v) AS s FROM events GROUP BY k")
            producer = Producer({"bootstrap.servers": server.address, "acks": "1", "compression.type": "lz4", "linger.ms": 0})
            seconds = options.probes / 40 + 5
            beside = subprocess.Popen([sys.executable, __file__, "--load", server.address, str(options.rate), str(seconds)])
            time.sleep(2)
            delays, begun = [], time.monotonic()
            cpu = server.cpu_seconds()
            for probe in range(options.probes):
                if beside.poll() is not None:
                    break
                value, written = json.dumps({"k": f"probe {probe}", "v": 1}), time.monotonic()
                producer.produce("events", value)
                producer.poll(0)
                while True:
                    row = session.execute("SELECT n FROM totals WHERE k = %s", [f"probe {probe}"]).fetchone()
                    if row:
                        break
                delays.append(time.monotonic() - written)
                time.sleep(0.005)
            elapsed = time.monotonic() - begun
            cpu = (server.cpu_seconds() - cpu) / elapsed
            beside.wait()
            delays.sort()
            at = lambda share: delays[min(int(len(delays) * share), len(delays) - 1)] * 1000
            print(f"{len(delays)} probes: p50 {at(.5):.1f} ms, p90 {at(.9):.1f} ms, p99 {at(.99):.1f} ms (to reach: 20 ms), "
                  f"max {at(1):.1f} ms; the server took {cpu * 100:.0f} % of a core")


if __name__ == "__main__":
    main()
