import asyncio
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pulka import _native
from pulka.clock import SystemClock
from pulka.model.fields import RESIDUAL, Column, arrow_type
from pulka.model.windows import TimeRange
from pulka.query import DataFusionEngine
from pulka.query.apart import Processes
from pulka.seams import ColumnStats, Fragment, Limits, Position, Publication
from pulka.testing.catalog import MemoryCatalog, MemoryFresh
from pulka.testing.files import DirectoryFiles

ALWAYS, UNLIMITED = TimeRange(), Limits()
PROCESSES = Processes()
"""One template for all lakes of all tests."""
KINDS = {bool: "bool", int: "i64", float: "f64", str: "str", list: "json", dict: "json"}


def _cell(value):
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else value


def encode(rows, residual=()):
    """Events (path -> value) as a batch in the layout of docs/design/event-batch.md."""
    seen = {}
    for row in rows:
        for path, value in row.items():
            if path != "timestamp" and path not in residual and value is not None:
                counts = seen.setdefault(path, {})
                counts[KINDS[type(value)]] = counts.get(KINDS[type(value)], 0) + 1
    fields = [pa.field("timestamp", arrow_type("timestamp"), nullable=False)]
    arrays = [pa.array([row["timestamp"] for row in rows], arrow_type("timestamp"))]
    for path, counts in seen.items():
        most = max(counts, key=counts.get)
        for kind in counts:
            metadata = {"pulka.path": path, "pulka.type": kind} if kind != most or kind == "json" else None
            fields.append(pa.field(path if kind == most else f"{path}#{kind}", arrow_type(kind), metadata=metadata))
            cells = [row.get(path) for row in rows]
            arrays.append(pa.array([_cell(c) if KINDS.get(type(c)) == kind else None for c in cells], arrow_type(kind)))
    if residual:
        fields.append(pa.field(RESIDUAL, pa.string()))
        rest = [{path: row[path] for path in sorted(residual) if row.get(path) is not None} for row in rows]
        arrays.append(pa.array([json.dumps(r, separators=(",", ":")) if r else None for r in rest], pa.string()))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def residual_types(rows, residual):
    return {
        path: frozenset(KINDS[type(row[path])] for row in rows if row.get(path) is not None)
        for path in residual
        if any(row.get(path) is not None for row in rows)
    }


def _stats(batch, sketches):
    from pulka.model.fields import column_of

    for field, array in zip(batch.schema, batch.columns, strict=True):
        if field.name != RESIDUAL:
            column: Column = column_of(field)
            cast = array.cast(pa.int64()) if column.type == "timestamp" else array
            bounds = pc.min_max(cast)
            text = sketches.get((column.path, column.type), {})
            yield ColumnStats(column, array.null_count, bounds["min"].as_py(), bounds["max"].as_py(), **text)


def sketch(batch, path, sort):
    """By (path, type), what the core gathers of text while it writes a fragment."""
    from pulka.store.fragments import FragmentOrigin, fragment_of

    described = _native.write_fragment([batch], str(path), declared={}, sort=sort, bloom=[], metadata={})
    columns = fragment_of(FragmentOrigin("f", "t", "logs", 0, 1, 0, 0), described).columns
    names = ("values", "automaton", "words")
    return {(one.column.path, one.column.type): {name: getattr(one, name) for name in names} for one in columns}


class Lake:
    """An engine over a memory catalog, with Parquet files in a directory."""

    def __init__(self, folder: Path, **settings) -> None:
        self.folder = folder
        self.catalog = MemoryCatalog()
        self.fresh = MemoryFresh()
        settings = {"clock": SystemClock(), "threads": 2, "processes": PROCESSES} | settings
        self.files = DirectoryFiles(folder)
        self.engine = DataFusionEngine(self.catalog, self.fresh, self.files, **settings)
        self._written = 0

    def store(self, rows, *, table="logs", tenant="acme", residual=(), positions=None, sort=None, **parquet):
        """`sort`: describe the texts of all columns as the core does, with automata of these. `parquet`: how to write the file."""
        batch = encode(rows, residual)
        self._written += 1
        name = f"f{self._written}"
        sketches = {} if sort is None else sketch(batch, self.folder / f"{name}.sketch", sort)
        pq.write_table(pa.Table.from_batches([batch]), self.folder / f"{name}.parquet", **{"compression": "zstd"} | parquet)
        times = [row["timestamp"] for row in rows]
        fragment = Fragment(
            id=name, tenant=tenant, table=table, key=f"{name}.parquet", window_start_ns=0, window_ns=1 << 62,
            min_ns=min(times), max_ns=max(times), rows=len(rows), bytes=batch.nbytes, raw_bytes=batch.nbytes, level=0,
            created_ns=0, columns=tuple(_stats(batch, sketches)), residual=residual_types(rows, residual),
        )  # fmt: skip
        asyncio.run(self.catalog.publish(Publication(add=(fragment,), positions=positions or {})))
        return fragment

    def buffer(self, rows, *, sequence=1, table="logs", tenant="acme", residual=()):
        at = Position(0, sequence)
        self.fresh.add(tenant, table, at, encode(rows, residual), residual_types(rows, residual))

    def published(self, tenant="acme"):
        return asyncio.run(self.catalog.tables(tenant))

    def run(self, sql, *, tenant="acme", window=ALWAYS, limits=UNLIMITED):
        async def go():
            result = await self.engine.run(sql, tenant, window, limits)
            batches = [batch async for batch in result.batches]
            return pa.Table.from_batches(batches, result.schema), result.stats

        return asyncio.run(go())

    def rows(self, sql, **options):
        return [tuple(row.values()) for row in self.run(sql, **options)[0].to_pylist()]

    def explain(self, sql, *, tenant="acme", window=ALWAYS):
        return asyncio.run(self.engine.explain(sql, tenant, window))


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


@pytest.fixture
def make_lake(tmp_path):
    return lambda **settings: Lake(tmp_path, **settings)
