"""One contract of all sources: the same traffic gives the same rates and errors, seen by the probes or read from a capture."""

import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE, Watcher, load
from tests.live.servers import recorded

from pulka._native import edge_replay
from pulka.edge.capture import CaptureReader

PYTHON = sys.executable


@pytest.mark.skipif(shutil.which("dumpcap") is None, reason="needs dumpcap")
def test_probes_and_a_capture_of_the_same_traffic(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], tmp_path: Path) -> None:
    port, _ = serve(PYTHON, HERE / "server.py")
    file = tmp_path / "traffic.pcapng"
    with recorded(["dumpcap", "-q", "-i", "lo", "-B", "64", "-f", f"port {port}", "-w", str(file)], "File: ", port, file):
        watcher = watch()
        truth = load(port, 4, 250)
        watcher.settle(port, truth, is_client=False)
    reader = CaptureReader()
    for _ in reader.batches(file):
        pass
    read: Counter[tuple[str, str, str, str]] = Counter()
    for row in reader.red().to_pylist():
        read[row["protocol"], row["operation"], row["target"] or "", row["status"] or ""] += row["count"]
    seen: Counter[tuple[str, str, str, str]] = Counter()
    for row in watcher.seen:
        if row.port == port and not row.is_client:
            seen[row.protocol, row.operation, row.target, row.status] += row.count
    assert seen == read
    assert sum(seen.values()) == truth.count


def test_what_was_recorded_counts_the_same_when_it_is_replayed(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: tuple[Path, Path]) -> None:
    port, _ = serve(PYTHON, HERE / "server.py", *certificate)
    watcher = watch()
    watcher.native.tap()
    truth = load(port, 3, 150, certificate[0], "--async")
    watcher.settle(port, truth, is_client=False, tls=True)
    recording = watcher.native.tapped()
    key = lambda row: (row.service, row.is_client, row.tls, row.protocol, row.operation, row.target, row.status, row.error)  # noqa: E731
    seen: Counter[tuple[object, ...]] = Counter()
    for row in watcher.seen:
        if row.port == port and row.protocol == "http1":
            seen[key(row)] += row.count
    replayed = Counter({key(row): row.count for row in edge_replay(recording) if row.port == port and row.protocol == "http1"})
    assert replayed == seen
    assert sum(seen.values()) == 2 * truth.count
