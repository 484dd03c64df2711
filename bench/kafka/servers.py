"""Servers to be measured, as processes over fresh directories, and what they cost."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CLIENTS = ROOT / "tests" / "kafka"


def prepare(what):
    """The directory of a client that is made once, see prepare.sh."""
    done = subprocess.run([CLIENTS / "prepare.sh", what], stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(done.stdout.strip())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A child process; `with` ends it and removes its data."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def cpu_seconds(self):
        """Processor time of all its threads so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


class Apache(Server):
    """Apache Kafka with its default settings: one node, answers do not wait for the disk."""

    name = "Apache Kafka"

    def __init__(self, *settings):
        self.directory = tempfile.mkdtemp(prefix="bench-apache-")
        port = free_port()
        self.process = subprocess.Popen([CLIENTS / "apache.sh", str(port), self.directory, *settings])
        self.address = f"127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, "Apache Kafka does not start"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.2)


class Millpond(Server):
    """Millpond, told not to wait for the disk either."""

    name = "Millpond"

    def __init__(self, binary, *arguments):
        self.directory = tempfile.mkdtemp(prefix="bench-millpond-")
        self.process = subprocess.Popen(
            [binary, "server", "--pg-port", "0", "--kafka-port", "0", "--data-dir", f"{self.directory}/data",
             "--durability", "os", "--log-level", "warn", *arguments], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        parts = dict(part.split("=", 1) for part in line.split() if "=" in part)
        self.address, self.postgres = parts["kafka"], parts["postgres"]


def binary_argument(parser):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--millpond", default=str(target / "release" / "millpond"), help="the binary to measure")
