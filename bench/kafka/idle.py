#!/usr/bin/env python3
"""What do 1,000 idle consumers cost?

Each holds a connection with a fetch at the end of a topic, as clients do while nothing comes. To reach: no measurable
processor time, 100 KiB of memory each. `--wait` is Kafka's fetch.max.wait.ms: after so long without data the server
answers and the client asks again, which with Kafka's default of 500 is 2,000 requests a second.
"""

import argparse
import selectors
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True

from servers import Apache, Millpond, binary_argument


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def frame(key, version, correlation, body):
    request = struct.pack(">hhi", key, version, correlation) + text("idle") + body
    return struct.pack(">i", len(request)) + request


def create_topic(address, topic):
    """CreateTopics version 2."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        body = struct.pack(">i", 1) + text(topic) + struct.pack(">ihiii?", 1, 1, 0, 0, 30000, False)
        connection.sendall(frame(19, 2, 1, body))
        answer = connection.recv(4096)
        assert answer[-4:-2] == b"\0\0" or b"\0\0\xff\xff" in answer, answer


def consumers(address, topic, count, wait_ms):
    host, port = address.rsplit(":", 1)
    fetch = frame(1, 4, 7, struct.pack(">iiiib", -1, wait_ms, 1, 50 << 20, 0) + struct.pack(">i", 1) + text(topic)
                  + struct.pack(">iiqi", 1, 0, 0, 1 << 20))
    selector = selectors.DefaultSelector()
    for _ in range(count):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(fetch)
        selector.register(connection, selectors.EVENT_READ)
    return selector, fetch


def serve(selector, fetch, seconds):
    answers, deadline = 0, time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            assert key.fileobj.recv(65536), "the server hung up"
            key.fileobj.sendall(fetch)
            answers += 1
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    binary_argument(parser)
    parser.add_argument("--consumers", type=int, default=1000)
    parser.add_argument("--wait", type=int, nargs="+", default=[500, 30000])
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    with Apache() as apache, Millpond(options.millpond) as millpond:
        for wait in options.wait:
            for server in (apache, millpond):
                topic = f"idle-{wait}"
                create_topic(server.address, topic)
                time.sleep(2)
                serve(*consumers(server.address, topic, 1, 100), 2)  # first use of all code
                begun, memory = server.cpu_seconds(), server.resident_kib()
                time.sleep(5)
                alone = (server.cpu_seconds() - begun) / 5
                selector, fetch = consumers(server.address, topic, options.consumers, wait)
                serve(selector, fetch, 5)
                begun = server.cpu_seconds()
                answers = serve(selector, fetch, options.seconds)
                busy = (server.cpu_seconds() - begun) / options.seconds
                each = (server.resident_kib() - memory) / options.consumers
                print(f"{server.name}, {options.consumers} consumers that wait {wait} ms: processor {busy * 100:.1f} % of a core "
                      f"({alone * 100:.1f} % without them), {each:.1f} KiB each, {answers / options.seconds:.0f} answers a second",
                      flush=True)
                for key in list(selector.get_map().values()):
                    key.fileobj.close()


if __name__ == "__main__":
    main()
