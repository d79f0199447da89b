"""Probes on this machine's own kernel. Skipped where that is not possible, in one line."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import latest

from pulka.edge.agent import EdgeSettings, attach

HERE = Path(__file__).parent
# A larger ring and more connections than the default: these tests are about what is seen, on machines that may be busy with anything.
SETTINGS = EdgeSettings(
    burst_bytes=65536, head_bytes=512, ring_bytes=32 << 20, connections_max=100_000, keys_max=10_000, held_bytes_max=64 << 20,
    idle_s=300, poll_ms=50, cpu_share=1.0,
)  # fmt: skip


def reason() -> str | None:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "live tests need Linux and root"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "live tests need a kernel with BTF"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = reason()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.live)
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


# TLS libraries are probed by `uprobe_multi`, and where the kernel does not have it by perf events.
WAYS = {"multi": (), "perf": ("uprobe_multi",)}


@dataclass
class Truth:
    statuses: dict[str, int]
    elapsed_s: float

    @property
    def count(self) -> int:
        return sum(self.statuses.values())


class Watcher:
    """An agent within this process, and what it has counted of one port so far."""

    def __init__(self, **changed: Any) -> None:
        from dataclasses import replace

        self.native = attach(replace(SETTINGS, **changed))
        self.pids: dict[int, Any] = {}
        self.seen: list[Any] = []

    def collect(self) -> list[Any]:
        self.seen += self.native.report(self.names)
        return self.seen

    def names(self) -> dict[int, str]:
        self.pids |= {process.pid: process for process in self.native.processes()}
        return {pid: str(pid) for pid in self.pids}

    def statuses(self, port: int, *, is_client: bool, tls: bool = False) -> dict[str, int]:
        counts: dict[str, int] = {}
        for row in self.collect():
            if row.port == port and row.is_client == is_client and row.tls == tls:
                counts[row.status] = counts.get(row.status, 0) + row.count
        return counts

    def settle(self, port: int, truth: Truth, *, is_client: bool, tls: bool = False) -> dict[str, int]:
        """What was counted once it is all there, or after five seconds."""
        return latest(lambda: self.statuses(port, is_client=is_client, tls=tls), lambda counts: sum(counts.values()) >= truth.count, 5)

    def check(self, port: int, truth: Truth, *, tls: bool = False) -> None:
        """Both ends have seen what is true, and nothing was dropped."""
        for is_client in (False, True):
            assert self.settle(port, truth, is_client=is_client, tls=tls) == truth.statuses, self.native.status().drops
        assert self.native.status().drops["ring_full"] == 0


@pytest.fixture
def watch() -> Iterator[Callable[..., Watcher]]:
    watchers: list[Watcher] = []

    def start(**changed: Any) -> Watcher:
        watchers.append(Watcher(**changed))
        return watchers[-1]

    yield start
    for watcher in watchers:
        watcher.native.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[int, int]]]:
    """serve(command...) starts a server that prints its port: (port, pid)."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str | Path) -> tuple[int, int]:
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline()), process.pid

    yield start
    for process in running:
        process.kill()
        process.wait()


def load(*arguments: str | int | Path) -> Truth:
    done = subprocess.run([sys.executable, HERE / "load.py", *map(str, arguments)], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    return Truth(said["statuses"], said["elapsed_s"])


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that servers of other users can reach into."""
    path = Path(tempfile.mkdtemp(prefix="pulka-live-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) of localhost."""
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key
