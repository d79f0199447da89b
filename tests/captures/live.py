"""Real servers on loopback, and what tcpdump records of them."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulka.edge.capture import Reading, read

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def program(name: str) -> str:
    """Where it is; the test is skipped in one line when it is not installed."""
    return shutil.which(name, path=_PATH) or pytest.skip(f"{name} is not installed")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def server(command: list[str], port: int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on `port` while the block runs."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **options) as running:  # type: ignore[call-overload]
        try:
            _wait_for(port, running)
            yield running
        finally:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait(60)


def _wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if running.poll() is not None:
            pytest.skip(f"{running.args!r} does not run here")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.skip(f"nothing listens on port {port}")


class Recording:
    """What was recorded, once the block is left."""

    reading: Reading

    def rows(self, protocol: str) -> list[dict[str, object]]:
        return [row for row in self.reading.transaction_rows() if row["protocol"] == protocol]

    def operations(self, protocol: str) -> list[str]:
        return [str(row["operation"]) for row in self.rows(protocol)]


def _wait_for_mark(file: Path, port: int) -> None:
    """The recorder lags behind: it is done when it has written a datagram that was sent last."""
    mark = b"pulka: end of the recording"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(300):
            sender.sendto(mark, ("127.0.0.1", port))
            time.sleep(0.2)
            if mark in file.read_bytes()[-65_536:]:
                return


@contextmanager
def recording(port: int, directory: Path) -> Iterator[Recording]:
    """Records loopback traffic of `port` while the block runs, then reads it."""
    file = directory / "live.pcap"
    command = [program("tcpdump"), "-i", "lo", "-n", "-U", "-B", "65536", "-s", "0", "-Z", "root", "-w", str(file), "port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as capture:
        assert capture.stderr
        said = next((line for line in capture.stderr if "listening on" in line), None)
        if said is None:
            pytest.skip("tcpdump may not capture here")
        recorded = Recording()
        try:
            yield recorded
            _wait_for_mark(file, port)
        finally:
            capture.send_signal(signal.SIGINT)
            capture.wait(30)
    recorded.reading = read(file)
    assert recorded.reading.counts.bytes_missing == 0, "the recorder lost packets"
