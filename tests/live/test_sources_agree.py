"""One contract of all sources: the same traffic gives the same rates and errors, seen by the probes or read from a capture."""

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE, Watcher, load

from pulka.edge.capture import CaptureReader

PYTHON = sys.executable


@pytest.mark.skipif(shutil.which("dumpcap") is None, reason="needs dumpcap")
def test_probes_and_a_capture_of_the_same_traffic(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], tmp_path: Path) -> None:
    port, _ = serve(PYTHON, HERE / "server.py")
    file = tmp_path / "traffic.pcapng"
    capture = subprocess.Popen(["dumpcap", "-q", "-i", "lo", "-B", "64", "-f", f"tcp port {port}", "-w", file], stderr=subprocess.DEVNULL)
    time.sleep(2)
    watcher = watch()
    truth = load(port, 4, 250)
    watcher.settle(port, truth, is_client=False)
    time.sleep(1)
    capture.terminate()
    capture.wait(20)
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
