"""The real sets through the real command: counts equal the manifest, every field has an answer, DuckDB agrees."""

import json
import subprocess
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from tests.up import Up, cli
from tests.waiting import until

SHARED = Path(__file__).parents[3] / "shared" / "data"
Start = Callable[..., Up]
LOGS = [
    "--timestamp", "TimeUnixNano", "--timestamp", "Timestamp", "--json-field", "Log", "--rename", "log=message", "--rename", "Container=service",
    "--rename", "PodName=k8s.pod.name", "--rename", "Node=host", "--rename", "TraceID=trace_id", "--rename", "SpanID=span_id",
]  # fmt: skip
SPANS = [
    "--timestamp", "StartTimeUnixNano", "--rename", "PodName=service", "--rename", "OperationName=name", "--rename", "TraceID=trace_id",
    "--rename", "SpanID=span_id", "--rename", "ParentID=parent_span_id",
]  # fmt: skip


def unpack(name: str, into: Path) -> Path:
    packed = SHARED / name
    if not packed.exists():
        pytest.skip(f"{packed} is absent")
    with pa.CompressedInputStream(str(packed), "zstd") as source, tarfile.open(fileobj=source, mode="r|") as archive:
        archive.extractall(into, filter="data")
    return into


def stored(output: subprocess.CompletedProcess[str]) -> tuple[int, int]:
    words = output.stdout.replace(",", "").split()
    return int(words[0]), int(words[3])


@pytest.mark.timeout(900)
def test_nezha(start: Start, tmp_path: Path) -> None:
    root = unpack("nezha/nezha-trainticket-2023-01-29.tar.zst", tmp_path) / "rca_data" / "2023-01-29"
    up = start(flush_age_s=2)
    logs = cli(up, "ingest", str(root / "log" / "*.csv"), "--table", "logs", *LOGS)
    assert sum(stored(logs)) == 172_722, logs.stderr
    assert stored(logs)[1] == 1
    assert "10_06_log.csv:631: broken_csv" in logs.stderr
    assert stored(cli(up, "ingest", str(root / "trace" / "*.csv"), "--table", "spans", *SPANS)) == (328_848, 0)
    metrics = cli(up, "ingest", str(root / "metric" / "*.csv"), "--table", "pod_metrics", "--timestamp", "TimeStamp")
    assert stored(metrics) == (43_193, 0)
    assert up.query("SELECT count(*) AS n, count(DISTINCT trace_id) AS t FROM spans") == [{"n": 328_848, "t": 4_483}]
    assert up.query("SELECT count(DISTINCT name) AS n FROM spans") == [{"n": 201}]
    agree_with_duckdb(up, "spans", "service", "Duration")
    agree_with_duckdb(up, "logs", "service", "trace_id")


def agree_with_duckdb(up: Up, table: str, group: str, value: str) -> None:
    """The same SQL on the exported Parquet."""
    sql = f'SELECT "{group}" AS g, count(*) AS n, count("{value}") AS v, max("{value}") AS m FROM {{}} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 50'
    files = fragments(up, table)
    oracle = duckdb.sql(sql.format(f"read_parquet({files!r}, union_by_name=true)")).fetchall()
    assert [tuple(row.values()) for row in up.query(sql.format(table))] == oracle


def fragments(up: Up, table: str) -> list[str]:
    """Files of a table once everything is in fragments."""
    rows = up.query(f"SELECT count(*) AS n FROM {table}")[0]["n"]

    def listed() -> list[dict[str, Any]]:
        return [json.loads(line) for line in cli(up, "store", "ls", "--table", table, "--format", "ndjson").stdout.splitlines()]

    return [row["file"] for row in until(listed, seconds=120, is_wanted=lambda found: sum(row["rows"] for row in found) == rows)]


@pytest.mark.timeout(900)
def test_security_events_every_field_by_name(start: Start) -> None:
    packed = SHARED / "security-events" / "security-events.ndjson.zst"
    if not packed.exists():
        pytest.skip(f"{packed} is absent")
    up = start(flush_age_s=2, query_rows=2000)
    done = cli(up, "ingest", str(packed), "--table", "events", "--timestamp", "@timestamp", "--timestamp", "EventTime", "--timestamp", "ts")
    assert stored(done) == (146_294, 0), done.stderr
    present, kinds = expected(packed)
    fields = list(present)
    assert len(fields) > 500
    for at in range(0, len(fields), 60):
        part = fields[at : at + 60]
        columns = ", ".join(f"count({quote(name)}) AS c{n}" for n, name in enumerate(part))
        row = up.query(f"SELECT {columns} FROM events")[0]
        wrong = {name: (row[f"c{n}"], present[name]) for n, name in enumerate(part) if row[f"c{n}"] != present[name]}
        assert not wrong
    mixed = texts(packed, [name for name, seen in kinds.items() if len(seen) > 1])
    assert len(mixed) >= 4
    for name, different in mixed.items():
        assert up.query(f"SELECT count(DISTINCT {quote(name)}) AS n FROM events") == [{"n": len(different)}], name
    agree_with_duckdb(up, "events", "Channel", "RecordNumber")


def expected(packed: Path) -> tuple[Counter[str], dict[str, set[str]]]:
    """Rows and types per dotted path, by the slow way."""
    present: Counter[str] = Counter()
    kinds: dict[str, set[str]] = defaultdict(set)
    for event in events(packed):
        for path, value in flat(event):
            present[path] += 1
            kinds[path].add(type(value).__name__)
    return present, kinds


def texts(packed: Path, names: list[str]) -> dict[str, set[str]]:
    """The values of fields of several types, as the text they read as."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for event in events(packed):
        for path, value in flat(event):
            if path in found:
                found[path].add(str(value))
    return found


def events(packed: Path) -> Iterator[dict[str, Any]]:
    with pa.CompressedInputStream(str(packed), "zstd") as source:
        rest = b""
        while block := source.read(8 << 20):
            *lines, rest = (rest + block).split(b"\n")
            yield from (json.loads(line) for line in lines if line.strip())


def flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, member in value.items():
        if isinstance(member, dict) and member:
            yield from flat(member, f"{prefix}{key}.")
        elif member is not None:
            yield f"{prefix}{key}", member


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
