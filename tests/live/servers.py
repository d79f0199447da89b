"""Real servers on loopback, what the agent sees of them, and what tcpdump records of the same traffic."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest
from tests.processes import is_listening
from tests.waiting import latest, until

from pulka.edge.capture import Reading, read

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
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


_NOT_FETCHED = re.compile(
    r"could not transfer|failed to transfer|unknown host|dial tcp|i/o timeout|toolchain not available|lookup disabled by GOPROXY|failed to download|"
    r"unable to update registry|could(?: not|n't) (?:resolve host|connect)|connection (?:refused|reset|timed out)", re.I,
)  # fmt: skip
"""What Maven, Go and cargo say of a download that failed."""


def build(*command: str | Path, **options: Any) -> None:
    """Build what a test needs: it is skipped when that could not be downloaded, and fails with the log when it does not build."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=1200, **options)
    if done.returncode and (failed := _NOT_FETCHED.search(done.stdout)):
        pytest.skip(f"{Path(command[0]).name} cannot download what this needs: {failed.group()}")
    assert done.returncode == 0, done.stdout


def jars_of(name: str, directory: Path) -> Path:
    """What the pom of `name` beside this file asks for, copied into `directory` from Maven Central or its cache."""
    build(program("mvn", "maven"), "-q", "-B", "-f", _HERE / name / "pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={directory}")
    return directory


def pinned(name: str, artifact: str) -> str:
    """The version that the pom of `name` has of an artifact."""
    found = re.search(rf"<artifactId>{re.escape(artifact)}</artifactId><version>([^<]+)<", (_HERE / name / "pom.xml").read_text())
    assert found, artifact
    return found.group(1)


@contextmanager
def server(command: list[str], port: int, address: str = "127.0.0.1", **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on `port` while the block runs; the test fails with its log when it does not."""
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **options) as running:
        try:
            assert until(lambda: running.poll() is not None or is_listening(port, address), lambda: _said(log)) and running.poll() is None, _said(log)
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
            running.wait(60)


def _said(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


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

        def counted() -> dict[bool, Red]:
            self.agent.ask()
            return {is_client: self.agent.red(is_client=is_client, tls=tls) for is_client in (False, True)}

        found = latest(counted, lambda found: all(ours.total() >= expected.total() for ours in found.values()), 10)
        for end, ours in found.items():
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
    raise AssertionError("the recorder has not written what was sent last")


@contextmanager
def recorded(command: list[str], begun: str, port: int, file: Path) -> Iterator[None]:
    """`command` records the traffic of `port`, from when it says `begun` until all that was sent in the block is in the file."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as capture:
        assert capture.stderr
        said = []
        for line in capture.stderr:
            said.append(line)
            if begun in line:
                break
        else:
            raise AssertionError("".join(said))
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
        record = [program("tcpdump"), "-i", "lo", "-n", "-U", "-B", "65536", "-s", "0", "-Z", "root", "-w", str(file), "port", str(port)]
        with recorded(record, "listening on", port, file):
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
