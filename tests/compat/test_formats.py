"""Old bytes are read for ever: fixtures of every version of every format, and what they must be read as.

A test fails when today's writer has another version than the newest fixture: then `python -m tests.compat.make` adds one.
"""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore
from tests.compat import make

from pulka import _native
from pulka.model.tables import table
from pulka.model.windows import TimeRange
from pulka.query.engine import DataFusionEngine
from pulka.seams import Fragment, Limits
from pulka.store import schema
from pulka.store.catalog import SqlCatalog
from pulka.store.fragments import FragmentObjects, FragmentOrigin, WriteOptions, fragment_of
from pulka.store.repair import repair
from pulka.testing.catalog import MemoryFresh
from pulka.testing.clock import FakeClock
from pulka.testing.files import DirectoryFiles

FRAGMENTS = sorted(make.HERE.glob("fragment-v*.parquet"))
CATALOGS = sorted(make.HERE.glob("catalog-v*.sql"))
JOURNALS = sorted(make.HERE.glob("journal-v*.wal"))


def version(path: Path) -> int:
    return int(path.stem.rpartition("-v")[2])


def loaded(dump: Path, directory: Path) -> str:
    """A catalog made from a dump; its URL."""
    with sqlite3.connect(directory / "catalog.sqlite") as connection:
        connection.executescript(dump.read_text())
    connection.close()
    return f"sqlite:///{directory}/catalog.sqlite"


def shape(url: str) -> dict[str, set[tuple[Any, ...]]]:
    """Tables and their columns: name, type, not null, part of the key."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: {(c[1], c[2], c[3], c[5] > 0) for c in connection.execute(f"PRAGMA table_info({name})")} for name in names}
    connection.close()
    return found


def bounds(fragment: Fragment) -> set[tuple[Any, ...]]:
    return {(stats.column, stats.nulls, stats.min, stats.max) for stats in fragment.columns}


def numbers(path: Path) -> list[int]:
    return [row["n"] for row in pq.ParquetFile(path).read(columns=["n"]).to_pylist()]


@pytest.mark.parametrize("fixture", FRAGMENTS, ids=lambda path: path.stem)
def test_an_old_fragment_is_whole_and_describes_itself(fixture: Path) -> None:
    footer = _native.inspect_fragment(str(fixture), True)
    origin = FragmentOrigin.read(footer)
    assert origin == make.ORIGIN
    fragment = fragment_of(origin, footer["pulka.fragment"])
    assert (fragment.rows, fragment.bytes) == (len(make.events()), fixture.stat().st_size)
    assert {c.column.name: c.column.type for c in fragment.columns if c.column.path == "mixed"} == {"mixed": "i64", "mixed#str": "str"}
    assert dict(fragment.residual) == {"rare.field": frozenset({"i64"})}


@pytest.mark.parametrize("fixture", FRAGMENTS, ids=lambda path: path.stem)
def test_an_old_fragment_has_its_rows(fixture: Path) -> None:
    rows = pq.ParquetFile(fixture).read().drop_columns("timestamp").to_pylist()
    for row, event in zip(rows, make.events(), strict=True):
        mixed = row["mixed"] if row["mixed"] is not None else row["mixed#str"]
        sparse = json.loads(row["_residual"] or "{}")
        assert (row["n"], row["message"], row["share"], row["ok"], mixed) == tuple(event.get(path) for path in ("n", "message", "share", "ok", "mixed"))
        assert (json.loads(row["deep.list"]), sparse.get("rare.field")) == (event["deep"]["list"], event.get("rare.field"))


@pytest.mark.parametrize("fixture", FRAGMENTS, ids=lambda path: path.stem)
def test_an_old_fragment_merges_with_a_new_one(fixture: Path, tmp_path: Path) -> None:
    make.write_fragment(tmp_path / "new.parquet")
    options = WriteOptions(columns_max=9).arguments(table("logs"))
    _native.merge_fragments([str(fixture), str(tmp_path / "new.parquet")], [str(tmp_path / "merged.parquet")], metadata={}, **options)
    assert numbers(tmp_path / "merged.parquet") == sorted([*range(40), *range(40)])
    _native.inspect_fragment(str(tmp_path / "merged.parquet"), True)


@pytest.mark.parametrize("fixture", FRAGMENTS, ids=lambda path: path.stem)
async def test_old_fragments_alone_make_a_catalog_that_answers(fixture: Path, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "objects", mkdir=True)
    shutil.copy(fixture, tmp_path / "objects/any.parquet")
    objects = FragmentObjects(store, tmp_path / "spool")
    objects.prepare()
    clock = FakeClock()
    catalog = await SqlCatalog.open(f"sqlite:///{tmp_path}/new.sqlite", clock)
    await repair(catalog, store, objects)
    assert dict(await catalog.positions(2)) == {("acme", "logs"): 9}
    engine = DataFusionEngine(catalog, MemoryFresh(), DirectoryFiles(tmp_path / "objects"), clock=clock)
    sql = 'SELECT n, mixed, "rare.field" FROM logs WHERE n >= 5 AND n < 8 ORDER BY n'
    result = await engine.run(sql, "acme", TimeRange(), Limits())
    rows = pa.Table.from_batches([batch async for batch in result.batches], result.schema).to_pylist()
    assert [tuple(row.values()) for row in rows] == [(5, "5", None), (6, "t6", None), (7, "7", 7)]
    await catalog.close()


@pytest.mark.parametrize("fixture", CATALOGS, ids=lambda path: path.stem)
async def test_an_old_catalog_is_read(fixture: Path, tmp_path: Path) -> None:
    catalog = await SqlCatalog.open(loaded(fixture, tmp_path), FakeClock())
    (fragment,) = await catalog.fragments()
    footer = _native.inspect_fragment(str(make.HERE / "fragment-v1.parquet"))
    told = fragment_of(FragmentOrigin.read(footer), footer["pulka.fragment"])
    assert (fragment.id, fragment.key, fragment.rows) == (told.id, told.key, told.rows)
    assert bounds(fragment) == bounds(told)
    assert fragment.residual == told.residual
    assert list(await catalog.retired(2**62)) == ["acme/logs/retired.parquet"]
    assert dict(await catalog.positions(2)) == {("acme", "logs"): 9}
    assert list(await catalog.dedup(0)) == [make.DEDUP]
    assert set((await catalog.tables("acme"))["logs"].fields["mixed"]) == {"i64", "str"}
    await catalog.close()


async def test_the_newest_catalog_fixture_is_of_todays_schema(tmp_path: Path) -> None:
    assert version(CATALOGS[-1]) == schema.SCHEMA_VERSION, "`python -m tests.compat.make`"
    (tmp_path / "old").mkdir()
    old = loaded(CATALOGS[-1], tmp_path / "old")
    catalog = await SqlCatalog.open(f"sqlite:///{tmp_path}/new.sqlite", FakeClock())
    await catalog.close()
    assert shape(f"sqlite:///{tmp_path}/new.sqlite") == shape(old), "the schema changed: raise SCHEMA_VERSION, migrate, `python -m tests.compat.make`"


def test_the_newest_fragment_fixture_is_of_todays_format(tmp_path: Path) -> None:
    make.write_fragment(tmp_path / "new.parquet")
    today = _native.inspect_fragment(str(tmp_path / "new.parquet"))["pulka.format"]
    assert version(FRAGMENTS[-1]) == int(today), "`python -m tests.compat.make`"


def test_the_newest_journal_fixture_is_of_todays_format() -> None:
    frame = _native.journal_encode(1, "t", "logs", 0, pa.record_batch({"n": [1]}), None, b"")
    assert frame[:4] == b"PKJ" + bytes([version(JOURNALS[-1])]) == JOURNALS[-1].read_bytes()[:4], "`tests/unit/journal/test_format.py` says how it is made"
