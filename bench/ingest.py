"""Ingest: MB/s per core until the durable acknowledgement, and with all work counted until compacted fragments.

The first is measured with flushing put off, so that only intake and journal work; the second runs with the defaults until the
writer's buffer is empty and nothing is left to merge. Peers turn the same file into sorted zstd-3 Parquet in bulk, without
a journal or merges, each in a process of its own.
"""

import argparse
import importlib.util
import resource
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import victoria
from data import bodies, logs, security_events
from server import server
from table import markdown

LOGS = "/api/v1/ingest/logs"
TIME_FIELDS = "timestamp,@timestamp,EventTime,ts"
EVENTS = f"{LOGS}?timestamp_field=@timestamp,EventTime,ts"
PEERS = {
    "duckdb": """
import duckdb
c = duckdb.connect(); c.execute("SET threads=2")
c.execute(f"COPY (SELECT * FROM read_json('{src}', format='newline_delimited') ORDER BY service, severity, timestamp DESC) TO '{dst}' (FORMAT parquet, COMPRESSION zstd)")
""",
    "polars": """
import polars as pl
pl.read_ndjson('{src}').sort('service', 'severity', 'timestamp', descending=[False, False, True]).write_parquet('{dst}', compression='zstd', compression_level=3)
""",
    "chdb": """
import chdb
chdb.query("INSERT INTO FUNCTION file('{dst}', Parquet) SELECT * FROM file('{src}', JSONEachRow) ORDER BY service, severity, timestamp DESC SETTINGS output_format_parquet_compression_method='zstd', max_threads=2")
""",
}  # fmt: skip
# Hundreds of fields, some of several types: DuckDB's and Polars' own readers do not take them; chDB's JSON type does, in its own format.
SCHEMALESS = {
    "chdb": """
from chdb import session
c = session.Session('{dst}')
c.query("CREATE DATABASE d"); c.query("CREATE TABLE d.t (e JSON(max_dynamic_paths=64)) ENGINE=MergeTree ORDER BY tuple()")
c.query("INSERT INTO d.t SELECT json FROM file('{src}', JSONAsObject) SETTINGS max_threads=2, max_insert_threads=2")
""",
}


def acknowledged(path: Path, target: str) -> tuple[float, float]:
    """MB/s per core until the last acknowledgement; peak resident MB."""
    pieces = bodies(path)
    with server(flush_age_s=3600, flush_bytes=1 << 40, buffer_bytes_max=1 << 40) as lake:
        lake.send(target, pieces[:4])
        before = lake.cpu_s()
        lake.send(target, pieces[4:])
        return sum(map(len, pieces[4:])) / 1e6 / (lake.cpu_s() - before), lake.rss_bytes(peak=True) / 1e6


def all_work(path: Path, target: str) -> tuple[float, float, float]:
    """MB/s per core until compacted, raw bytes per stored byte, peak resident MB."""
    pieces = bodies(path)
    size = sum(map(len, pieces))
    with server(flush_age_s=5, compaction_idle_s=6) as lake:
        before = lake.cpu_s()
        lake.send(target, pieces)
        lake.settle()
        used = lake.cpu_s() - before
        stored = lake.tables()["logs"]["bytes"]
        return size / 1e6 / used, size / stored, lake.rss_bytes(peak=True) / 1e6


def peer(name: str, code: str, source: Path) -> list[object]:
    """CPU, ratio and memory of one peer, or why it has none."""
    if importlib.util.find_spec(name) is None:
        return [name, "-", "not installed", "-", "-"]
    target = source.with_suffix(f".{name}.parquet")
    _remove(target)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    script = code.format(src=source, dst=target)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or not target.exists():
        return [name, "-", "fails: " + (done.stderr.strip().splitlines() or ["?"])[-1][:80], "-", "-"]
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = source.stat().st_size
    ratio = size / sum(file.stat().st_size for file in [target, *target.rglob("*")] if file.is_file())
    _remove(target)
    return [name, "-", f"{size / 1e6 / used:.0f}", f"{ratio:.1f}", "-"]


def victoria_logs(path: Path, rounds: int) -> list[object]:
    """Medians, or why there are none."""
    program = victoria.binary()
    if program is None:
        return ["VictoriaLogs", "-", "no victoria-logs on PATH", "-", "-"]
    pieces = bodies(path)
    size = sum(map(len, pieces))
    try:
        taken = [victoria.measure([program], pieces, TIME_FIELDS) for _ in range(rounds)]
    except AssertionError as error:
        return ["VictoriaLogs", "-", f"fails: {error}"[:80], "-", "-"]
    used, stored, memory = (statistics.median(getattr(one, name) for one in taken) for name in ("cpu_s", "stored_bytes", "rss_bytes"))
    return ["VictoriaLogs", "-", f"{size / 1e6 / used:.0f}", f"{size / stored:.1f}", f"{memory / 1e6:.0f}"]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def measure(title: str, path: Path, target: str, rounds: int, peers: dict[str, str]) -> None:
    """Print the table of one input."""
    acks = [acknowledged(path, target) for _ in range(rounds)]
    works = [all_work(path, target) for _ in range(rounds)]
    rows: list[list[object]] = [
        [
            "**pulka**",
            f"{statistics.median(a[0] for a in acks):.0f}",
            f"{statistics.median(w[0] for w in works):.0f}",
            f"{statistics.median(w[1] for w in works):.1f}",
            f"{statistics.median(w[2] for w in works):.0f}",
        ],
        *(peer(name, code, path) for name, code in peers.items()),
    ]
    rows.append(victoria_logs(path, rounds))
    print(markdown(title, ["", "acknowledged MB/s/core", "all work MB/s/core", "raw / stored", "peak RSS MB"], rows))


def main() -> None:
    """Measure both inputs."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", choices=["logs", "security"])
    given = arguments.parse_args()
    if given.only != "security":
        measure(f"Ingest of {given.rows:,} log lines of 400 bytes", logs(given.rows), LOGS, given.rounds, PEERS)
    events = security_events() if given.only != "logs" else None
    if events:
        measure("Ingest of security-events (146,294 events, 395 MB)", events, EVENTS, given.rounds, SCHEMALESS)


if __name__ == "__main__":
    main()
