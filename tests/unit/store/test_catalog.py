"""What only the database implementation promises: durability settings, schema versions, errors, the cache."""

import sqlite3
import zlib
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text, update

from pulka.clock import SystemClock
from pulka.errors import Corrupt, Misconfigured, Temporary
from pulka.model.fields import Column
from pulka.model.windows import TimeRange
from pulka.seams import ColumnStats, DedupKey, Fragment, Publication
from pulka.store import schema
from pulka.store.catalog import SqlCatalog
from pulka.store.column_stats import StatsCache, encode_stats


async def opened(path: Path, **options: float) -> SqlCatalog:
    return await SqlCatalog.open(f"sqlite:///{path}/catalog.db", SystemClock(), **options)


async def test_sqlite_commits_survive_a_power_cut(tmp_path: Path) -> None:
    catalog = await opened(tmp_path)
    with catalog._database.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    await catalog.close()


async def test_it_is_there_after_reopening(tmp_path: Path) -> None:
    catalog = await opened(tmp_path)
    await catalog.publish(Publication(positions={(0, "t", "logs"): (0, 3)}))
    await catalog.close()
    catalog = await opened(tmp_path)
    assert dict(await catalog.positions(0)) == {("t", "logs"): 3}
    await catalog.close()


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    catalog = await opened(tmp_path)
    with catalog._database.write() as connection:
        connection.execute(update(schema.version).values(version=99))
    await catalog.close()
    with pytest.raises(Misconfigured, match="version 99"):
        await opened(tmp_path)


async def test_a_damaged_file_says_how_to_rebuild(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"this is not a database" * 500)
    with pytest.raises(Corrupt) as caught:
        await opened(tmp_path)
    assert "repair" in caught.value.hint


async def test_a_busy_database_is_temporary(tmp_path: Path) -> None:
    catalog = await opened(tmp_path, busy_timeout_s=0.05)
    other = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Temporary):
        await catalog.publish(Publication(positions={(0, "t", "logs"): (0, 3)}))
    other.execute("ROLLBACK")
    await catalog.publish(Publication(positions={(0, "t", "logs"): (0, 3)}))
    other.close()
    await catalog.close()


async def test_a_full_disk_is_temporary_and_changes_nothing(tmp_path: Path) -> None:
    catalog = await opened(tmp_path, connections=1)
    with catalog._database.write() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()
        connection.execute(text(f"PRAGMA max_page_count={pages}"))
    keys = tuple(DedupKey("t", "logs", f"{number}" * 200, 2**62) for number in range(500))
    with pytest.raises(Temporary, match="disk is full"):
        await catalog.publish(Publication(positions={(0, "t", "logs"): (0, 3)}, dedup=keys))
    assert dict(await catalog.positions(0)) == {}
    await catalog.close()


async def test_an_expired_key_may_come_again(tmp_path: Path) -> None:
    catalog = await opened(tmp_path)
    await catalog.publish(Publication(dedup=(DedupKey("t", "logs", "k", 5, b"old"),)))
    await catalog.publish(Publication(dedup=(DedupKey("t", "logs", "k", 2**62, b"new"),)))
    await catalog.publish(Publication(dedup=(DedupKey("t", "logs", "k", 2**62, b"late"),)))
    assert [key.ack for key in await catalog.dedup(0)] == [b"new"]
    await catalog.close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "/var/lib/catalog.db"])
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        await SqlCatalog.open(url, SystemClock())


def stats(number: int) -> tuple[ColumnStats, ...]:
    return tuple(ColumnStats(Column(f"c{i}", f"c{i}", "str"), i, f"a{number}", "z") for i in range(100))


def test_statistics_round_trip() -> None:
    residual = {"a.b": frozenset({"i64", "json"})}
    assert StatsCache(bytes_max=0).decode("f", encode_stats(stats(1), residual)) == (stats(1), residual)


def test_statistics_from_before_there_were_automata_are_read() -> None:
    blob = zlib.compress(msgspec.msgpack.encode(([("a", "a", "str", 3, "x", "y")], {})))
    assert StatsCache(bytes_max=0).decode("f", blob) == ((ColumnStats(Column("a", "a", "str"), 3, "x", "y"),), {})


def test_the_cache_is_bounded_in_bytes() -> None:
    cache = StatsCache(bytes_max=100_000)
    for number in range(100):
        cache.decode(f"f{number}", encode_stats(stats(number), {}))
    kept = [number for number in range(100) if cache.get(f"f{number}")]
    assert 0 < len(kept) < 50
    assert kept[-1] == 99


async def test_the_cache_may_be_smaller_than_one_snapshot(tmp_path: Path) -> None:
    catalog = await opened(tmp_path, cache_bytes=1)
    parts = tuple(
        Fragment(f"f{n}", "t", "logs", f"k{n}", 0, 10, 0, 9, 1, 1, 1, 0, n, stats(n)) for n in range(20)
    )  # fmt: skip
    await catalog.publish(Publication(add=parts))
    assert (await catalog.snapshot("t", "logs", TimeRange())).fragments == parts
    await catalog.close()
