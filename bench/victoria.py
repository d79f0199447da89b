"""VictoriaLogs on loopback under measurement: the same NDJSON in the same bodies, until every row is queryable.

https://docs.victoriametrics.com/victorialogs/data-ingestion/#json-stream-api. It acknowledges before its data is on the disk, so what is measured
is all work: CPU until the rows are there and it rests, peak resident memory, and its storage once it has ended and written everything.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from server import connect, cpu_s, free_port, post, post_all, rss_bytes

NAMES = ("victoria-logs", "victoria-logs-prod")
REST_SHARE, REST_S = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What an input took."""

    cpu_s: float
    rss_bytes: int
    stored_bytes: int


def binary() -> str | None:
    """The one on PATH."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def measure(program: Sequence[str], pieces: list[bytes], time_fields: str, timeout_s: float = 600) -> Taken:
    """Start `program` with a directory of its own, send, wait, end it."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pulka-bench-victoria-") as directory:
        flags = [f"-storageDataPath={directory}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y", "-loggerLevel=ERROR"]
        process = subprocess.Popen([*program, *flags], stdout=subprocess.DEVNULL)
        try:
            _until(lambda: count(port) == 0, 60, process)
            before = cpu_s(process.pid)
            fields = urlencode({"_stream_fields": "service,severity", "_msg_field": "message", "_time_field": time_fields})
            post_all(port, f"/insert/jsonline?{fields}", pieces, 2, {"Content-Type": "application/stream+json"})
            rows = sum(piece.count(b"\n") + (not piece.endswith(b"\n")) for piece in pieces)
            _until(lambda: count(port) >= rows, timeout_s, process)
            _until(lambda: _rests(process.pid), timeout_s, process)
            used, memory = cpu_s(process.pid) - before, rss_bytes(process.pid, peak=True)
        finally:
            process.terminate()
            process.wait(120)
        return Taken(used, memory, sum(file.stat().st_size for file in Path(directory).rglob("*") if file.is_file()))


def count(port: int) -> int:
    """Rows that a query finds; -1 while nothing answers."""
    connection = connect(port)
    try:
        status, answer = post(connection, "/select/logsql/query", urlencode({"query": "* | stats count() as n"}), {"Content-Type": "application/x-www-form-urlencoded"})
    except OSError:
        return -1
    finally:
        connection.close()
    assert status == 200, answer[:500]
    return int(json.loads(answer)["n"])


def _rests(pid: int) -> bool:
    before = cpu_s(pid)
    time.sleep(REST_S)
    return cpu_s(pid) - before < REST_SHARE * REST_S


def _until(reached: Callable[[], bool], timeout_s: float, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + timeout_s
    while not reached():
        assert process.poll() is None, f"{process.args[0]} ended with {process.returncode}"
        assert time.monotonic() < end, "VictoriaLogs did not come so far in time"
        time.sleep(0.1)
