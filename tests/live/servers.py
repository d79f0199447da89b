"""Real servers on loopback, what the agent sees of them, and what tcpdump records of the same traffic."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pulka.edge.capture import Reading, read

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
_ROOT = Path(__file__).parents[2]
SUPPORT = _ROOT / "docs" / "edge-live.tsv"

Red = Counter[tuple[str, str, str, str, str]]
"""Transactions by (protocol, operation, target, status, error)."""


def program(name: str, package: str = "") -> str:
    """Where it is; the test is skipped in one line when it is not installed."""
    return shutil.which(name, path=_PATH) or pytest.skip(f"{name} is not installed: apt-get install {package or name}")


def version(*command: str) -> str:
    """The first number with a dot that a program says of itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)*", done.stdout + done.stderr)
    return found.group() if found else ""


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
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
            running.wait(60)


def _wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if running.poll() is not None:
            pytest.skip(f"{running.args!r} does not run here")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.skip(f"nothing listens on port {port}")


class Observer:
    """The agent, in a process of its own."""

    def __init__(self, port: int) -> None:
        env = os.environ | {"PYTHONPATH": f"{_ROOT}:{_ROOT / 'src'}"}
        command = [sys.executable, "-m", "tests.live.observer", str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=_ROOT)
        assert self._process.stdout is not None and self._process.stdout.readline() == "attached\n"
        self.said: dict[str, Any] = {}

    def ask(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.said = json.loads(self._process.stdout.readline())

    def red(self, *, is_client: bool, tls: bool = False) -> Red:
        """What one end counted; a message that a server pushes counts as if the server were its client."""
        found: Red = Counter()
        for client, plaintext, protocol, operation, target, status, error, count in self.said["rows"]:
            if (client, plaintext) == (is_client, tls) and protocol != "tls":
                found[protocol, operation, target, status, error] += count
        return found

    def stop(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


class Seen:
    """What was seen of a port, once the block is left."""

    reading: Reading

    def __init__(self, agent: Observer) -> None:
        self.agent = agent

    def rows(self, protocol: str) -> list[dict[str, object]]:
        """Transactions of the capture."""
        return [row for row in self.reading.transaction_rows() if row["protocol"] == protocol]

    def operations(self, protocol: str) -> list[str]:
        return [str(row["operation"]) for row in self.rows(protocol)]

    def red(self) -> Red:
        """What the capture says."""
        rows = self.reading.transaction_rows()
        return Counter((row["protocol"], row["operation"], row["target"] or "", row["status"] or "", row["error"] or "") for row in rows)

    def plaintext(self, *, is_client: bool) -> Red:
        """What the agent saw within TLS."""
        return self.agent.red(is_client=is_client, tls=True)

    def settle(self, expected: Red, *, tls: bool = False) -> None:
        """Waits until both ends have counted as much as was said, at most ten seconds, and compares."""
        for _ in range(50):
            self.agent.ask()
            if all(self.agent.red(is_client=end, tls=tls).total() >= expected.total() for end in (True, False)):
                break
            time.sleep(0.2)
        for end in (False, True):
            ours = self.agent.red(is_client=end, tls=tls)
            assert ours == expected, f"{'client' if end else 'server'}: only the agent {ours - expected}, only the capture {expected - ours}; {self.agent.said}"


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
def _captured(port: int, file: Path) -> Iterator[None]:
    command = [program("tcpdump"), "-i", "lo", "-n", "-U", "-B", "65536", "-s", "0", "-Z", "root", "-w", str(file), "port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as capture:
        assert capture.stderr
        if next((line for line in capture.stderr if "listening on" in line), None) is None:
            pytest.skip("tcpdump may not capture here")
        try:
            yield
            _wait_for_mark(file, port)
        finally:
            capture.send_signal(signal.SIGINT)
            capture.wait(30)


@contextmanager
def watched(port: int, directory: Path) -> Iterator[Seen]:
    """Both sources watch loopback traffic of `port` while the block runs; then they must have counted the same, plaintext within TLS aside."""
    file = directory / "live.pcap"
    agent = Observer(port)
    try:
        seen = Seen(agent)
        with _captured(port, file):
            yield seen
        seen.reading = read(file)
        assert seen.reading.counts.bytes_missing == 0, "the recorder lost packets"
        seen.settle(Counter({key: count for key, count in seen.red().items() if key[0] != "tls"}))
    finally:
        agent.stop()


def proven(kind: str, name: str, versions: str, transactions: int, ends: str = "both") -> None:
    """For docs/edge-support.md: so many transactions, as another than us counted them, were seen. Written when PULKA_WRITE_AGREEMENT is set."""
    if "PULKA_WRITE_AGREEMENT" not in os.environ:
        return
    lines = SUPPORT.read_text().splitlines()[1:] if SUPPORT.exists() else []
    known = {tuple(line.split("\t")[:3]): line for line in lines}
    known[kind, name, versions] = "\t".join([kind, name, versions, str(transactions), ends])
    SUPPORT.write_text("\n".join(["kind\tname\tversions\ttransactions\tends", *(known[key] for key in sorted(known)), ""]))
