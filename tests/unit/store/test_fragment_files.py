"""A fragment is plain Parquet: other engines read it unaided and see the same values."""

import json
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulka import _native
from pulka.seams import ColumnStats
from pulka.store.fragments import FragmentOrigin, fragment_of

BASE_NS = 1_700_000_000_000_000_000
LAYOUT = {"declared": {"service": "str", "message": "str"}, "sort": ["service", "-timestamp"], "bloom": ["trace_id"]}
COLUMNS = ("timestamp", "service", "message", "Message", "trace_id", "http.status_code", "duration_ms", "ok")


def batch(rows: int = 1000, first: int = 0) -> pa.RecordBatch:
    numbers = range(first, first + rows)
    times = pa.array([BASE_NS + n * 1_000_003 for n in numbers], pa.timestamp("ns", tz="UTC"))
    columns = {
        "timestamp": times,
        "service": pa.array([None if n % 50 == 0 else f"svc-{n % 7}" for n in numbers]),
        "message": pa.array([f"lower {n} ž" for n in numbers]),
        "Message": pa.array([f"UPPER {n}" if n % 2 else "" for n in numbers]),
        "trace_id": pa.array([f"{n:032x}" for n in numbers]),
        "http.status_code": pa.array([[200, 404, None][n % 3] for n in numbers], pa.int64()),
        "duration_ms": pa.array([n / 7 for n in numbers]),
        "ok": pa.array([n % 5 == 0 for n in numbers]),
    }
    fields = [pa.field(name, array.type, nullable=name != "timestamp") for name, array in columns.items()]
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema(fields))


def write(path: Path, *batches: pa.RecordBatch) -> dict[str, object]:
    return json.loads(_native.write_fragment(batches, str(path), metadata={"pulka.table": "logs"}, **LAYOUT))


def rows_of(table: pa.Table) -> list[tuple[object, ...]]:
    """Rows by trace id, with times as nanoseconds."""
    columns = []
    for name in COLUMNS:
        column = table[name]
        columns.append((column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist())
    return sorted(zip(*columns, strict=True), key=lambda row: row[COLUMNS.index("trace_id")])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fragment.parquet"


def test_duckdb_reads_the_same_values(path: Path) -> None:
    source = batch()
    write(path, source)
    # DuckDB's column names are case-insensitive: it tells the second of Message/message apart by a suffix.
    relation = duckdb.sql(f"SELECT * FROM read_parquet('{path}')")
    names = relation.columns
    both = [name for name in names if name.lower().startswith("message")]
    assert len(both) == 2
    times = duckdb.sql(f"SELECT epoch_ns(timestamp), trace_id FROM read_parquet('{path}')").fetchall()
    expected = dict(zip(source["trace_id"].to_pylist(), source["timestamp"].cast(pa.int64()).to_pylist(), strict=True))
    # DuckDB keeps microseconds of a time with a zone.
    assert {trace: time // 1000 for time, trace in times} == {trace: time // 1000 for trace, time in expected.items()}
    for name, column in _pairs(names):
        values = duckdb.sql(f"SELECT \"{name}\" FROM read_parquet('{path}') ORDER BY trace_id").fetchall()
        assert [value for (value,) in values] == source[column].to_pylist(), column


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    """DuckDB's column names beside ours, in file order, without the timestamp."""
    return [(name, name.removesuffix("_1")) for name in names if name != "timestamp"]


def test_polars_reads_the_same_values(path: Path) -> None:
    source = batch()
    write(path, source)
    assert rows_of(polars.read_parquet(path).to_arrow()) == rows_of(pa.Table.from_batches([source]))


def test_pyarrow_reads_rows_in_order_and_field_metadata(path: Path) -> None:
    mixed = pa.record_batch({"timestamp": batch(2)["timestamp"], "Task#i64": pa.array([None, 7])})
    field = mixed.schema.field(1).with_metadata({"pulka.path": "Task"})
    text = pa.record_batch({"timestamp": batch(2)["timestamp"], "Task": pa.array(["a", "b"])})
    write(path, mixed.cast(pa.schema([mixed.schema.field(0), field])), text)
    schema = pq.read_schema(path)
    assert schema.field("Task").type == pa.string()
    assert schema.field("Task#i64").metadata == {b"pulka.path": b"Task"}


def test_description_tells_rows_ranges_and_nulls(path: Path) -> None:
    description = write(path, batch(500), batch(500, first=500))
    columns = {column["name"]: column for column in description["columns"]}
    assert description["rows"] == 1000
    assert description["bytes"] == path.stat().st_size
    assert (description["min_ns"], description["max_ns"]) == (BASE_NS, BASE_NS + 999 * 1_000_003)
    assert (columns["service"]["nulls"], columns["service"]["min"], columns["service"]["max"]) == (20, "svc-0", "svc-6")
    assert (columns["http.status_code"]["min"], columns["http.status_code"]["max"]) == (200, 404)
    footer = _native.inspect_fragment(str(path), verify=True)
    assert footer["pulka.table"] == "logs"
    assert json.loads(footer["pulka.sort"]) == LAYOUT["sort"]
    assert json.loads(footer["pulka.fragment"]) == description


def test_merge_keeps_every_row(tmp_path: Path) -> None:
    inputs = [tmp_path / f"{part}.parquet" for part in range(4)]
    sources = [batch(300, first=300 * part) for part in range(4)]
    for path, source in zip(inputs, sources, strict=True):
        write(path, source)
    merged = tmp_path / "merged.parquet"
    _native.merge_fragments([str(path) for path in inputs], [str(merged)], metadata={}, **LAYOUT)
    assert rows_of(pq.read_table(merged)) == rows_of(pa.Table.from_batches(sources))
    _native.inspect_fragment(str(merged), verify=True)


def test_a_changed_byte_is_found_and_errors_have_their_types(path: Path, tmp_path: Path) -> None:
    write(path, batch())
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        _native.inspect_fragment(str(broken), verify=True)
    with pytest.raises(FileExistsError):
        write(path, batch())
    with pytest.raises(FileNotFoundError):
        _native.inspect_fragment(str(tmp_path / "none.parquet"))


def test_texts_are_described_and_older_descriptions_are_read(path: Path) -> None:
    description = write(path, batch())
    origin = FragmentOrigin("f", "t", "logs", 0, 1, 0, 0)
    columns = {one.column.name: one for one in fragment_of(origin, json.dumps(description)).columns}
    assert columns["service"].values == tuple(f"svc-{n}" for n in range(7))
    assert columns["message"].values is None
    assert _native.word_filters_match([columns["message"].words], [("lower 7",)]) == [True]
    for column in description["columns"]:
        for item in ("values", "automaton", "words"):
            column.pop(item, None)
    older = {one.column.name: one for one in fragment_of(origin, json.dumps(description)).columns}
    assert older["service"] == ColumnStats(columns["service"].column, 20, "svc-0", "svc-6")
