"""DuckDB, Polars, chDB and bare DataFusion over Parquet files: each in a process of its own with two threads, measured query by query."""

import importlib.util
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa

from measure import Asked, measured

THREADS = 2
MEMORY_GB = 8
_PATIENCE_S = 300
Files = Mapping[str, Sequence[str]]
Run = Callable[[str], pa.Table]


def peer(engine: str, files: Files, queries: Mapping[str, str], rounds: int, cold: bool = False) -> dict[str, Asked]:
    """Ask a peer; empty when it is not installed. A query that does not end within minutes ends it, and what comes after is missing."""
    if importlib.util.find_spec(engine) is None:
        return {}
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, engine, files, queries, rounds, cold))
    process.start()
    theirs.close()
    found = dict(_received(ours))
    process.terminate()
    process.join()
    return found


def _received(connection: Connection) -> Iterable[tuple[str, Asked]]:
    while connection.poll(_PATIENCE_S):
        try:
            yield connection.recv()
        except EOFError:
            return


def _serve(connection: Connection, engine: str, files: Files, queries: Mapping[str, str], rounds: int, cold: bool) -> None:
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    run = _ENGINES[engine](files)
    everything = [file for some in files.values() for file in some]
    for name, sql in queries.items():
        connection.send((name, measured(lambda sql=sql: run(sql), time.process_time, rounds, everything if cold else [])))
    connection.close()


def _duckdb(files: Files) -> Run:
    import duckdb

    connection = duckdb.connect(config={"threads": THREADS, "memory_limit": f"{MEMORY_GB}GB"})
    connection.execute("SET TimeZone = 'UTC'")
    for table, some in files.items():
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({list(some)!r}, union_by_name = true)")
    return lambda sql: connection.sql(sql).to_arrow_table()


def _polars(files: Files) -> Run:
    import polars as pl

    def scanned(some: Sequence[str]) -> Any:
        frame = pl.scan_parquet(sorted(some, key=_columns, reverse=True), missing_columns="insert", extra_columns="ignore")
        names = frame.collect_schema().names()
        return frame.with_columns(**{name: value(pl) for name, (field, value) in _POLARS_COLUMNS.items() if field in names})

    context = pl.SQLContext({table: scanned(some) for table, some in files.items()})
    return lambda sql: context.execute(sql, eager=True).to_arrow()


_POLARS_COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "five_minutes": ("timestamp", lambda pl: pl.col("timestamp").dt.truncate("5m")),
    "tenant": ("message", lambda pl: pl.col("message").str.extract("tenant-([0-9]+)", 1)),
    "session": ("_residual", lambda pl: pl.col("_residual").str.json_path_match("$['debug.session']")),
    "first_tag": ("tags", lambda pl: pl.col("tags").str.json_path_match("$[0]")),
}


def _columns(file: str) -> int:
    import pyarrow.parquet

    return len(pyarrow.parquet.read_schema(file))


def _chdb(files: Files) -> Run:
    from chdb import session

    connection = session.Session()
    connection.query("CREATE DATABASE bench")
    connection.query("USE bench")
    for name, value in {"max_threads": THREADS, "max_memory_usage": MEMORY_GB << 30, "schema_inference_mode": "'union'", "output_format_arrow_string_as_string": 1}.items():
        connection.query(f"SET {name} = {value}")
    for table, some in files.items():
        folder = tempfile.mkdtemp(prefix="pulka-bench-")  # it takes a pattern of files, not a list
        for number, file in enumerate(some):
            Path(folder, f"{number:08}.parquet").symlink_to(file)
        connection.query(f"CREATE VIEW {table} AS SELECT * FROM file('{folder}/*.parquet', Parquet)")
    return lambda sql: connection.query(sql, "ArrowTable")


def _datafusion(files: Files) -> Run:
    from datafusion import SessionConfig, SessionContext

    config = SessionConfig().set("datafusion.execution.parquet.pushdown_filters", "true").set("datafusion.execution.parquet.reorder_filters", "true")
    context = SessionContext(config.with_target_partitions(THREADS))
    for table, some in files.items():
        frames = [context.read_parquet(file) for file in some]
        whole = frames[0]
        for more in frames[1:]:
            whole = whole.union(more)
        context.register_view(table, whole)
    return lambda sql: context.sql(sql).to_arrow_table()


_ENGINES: dict[str, Callable[[Files], Run]] = {"duckdb": _duckdb, "polars": _polars, "chdb": _chdb, "datafusion": _datafusion}
PEERS = tuple(_ENGINES)
