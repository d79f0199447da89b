"""One damage each, planted in a real store: `pulka store check` finds it, and nothing else, and says what to do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import update

from pulka.seams import Fragment, Publication
from pulka.store import schema
from pulka.store.check import Finding, check


@dataclass
class Store:
    """Three flushes of two windows; `fragments[0]` is what gets damaged."""

    lake: Any
    fragments: list[Fragment]

    @property
    def first(self) -> Fragment:
        return self.fragments[0]

    def path(self, fragment: Fragment) -> Any:
        return self.lake.directory / "objects" / fragment.key

    def tell(self, **columns: Any) -> None:
        """Let the catalog say something else of the first fragment."""
        at = schema.fragments.c
        with self.lake.catalog._database.write() as connection:
            connection.execute(update(schema.fragments).where(at.id == self.first.id).values(**columns))
        self.lake.catalog._stats._kept.clear()


@pytest.fixture
async def store(lake: Any) -> Store:
    writer = await lake.writer()
    for _ in range(3):
        await lake.append(10, hours=(0, 5))
        await lake.settled(writer)
        await writer.flush()
    return Store(lake, sorted(await lake.catalog.fragments(), key=lambda f: f.id))


async def findings(lake: Any, *, verify: bool = False) -> list[Finding]:
    await lake.clock.advance(1e9)  # past every file's age: objects carry the machine's time
    return [found async for found in check(lake.catalog, lake.store, lake.objects(), lake.clock, verify=verify)]


async def test_a_sound_store_has_no_findings(store: Store) -> None:
    assert await findings(store.lake, verify=True) == []
    await store.lake.compactor(fragments_per_class=3).run_once()
    assert {f.level for f in await store.lake.catalog.fragments()} == {1}
    assert await findings(store.lake, verify=True) == []


async def test_moved_objects_are_fine(store: Store) -> None:
    store.path(store.first).rename(store.lake.directory / "objects/elsewhere.parquet")
    store.tell(object_key="elsewhere.parquet")
    assert await findings(store.lake, verify=True) == []


def flipped(store: Store) -> None:
    data = bytearray(store.path(store.first).read_bytes())
    data[10] ^= 4
    store.path(store.first).write_bytes(bytes(data))


def missing(store: Store) -> None:
    store.path(store.first).unlink()


def truncated(store: Store) -> None:
    store.path(store.first).write_bytes(store.path(store.first).read_bytes()[:-100])


def not_parquet(store: Store) -> None:
    store.path(store.first).write_bytes(b"x" * store.first.bytes)


def orphan(store: Store) -> None:
    (store.lake.directory / "objects/t/logs/stray.parquet").write_bytes(store.path(store.first).read_bytes())


async def foreign(store: Store) -> None:
    """The object of another table lies under the key."""
    await store.lake.append(10, table="spans")
    writer = store.lake.writers[0]
    await store.lake.settled(writer)
    await writer.flush()
    (other,) = await store.lake.catalog.fragments("t", "spans")
    store.path(store.first).write_bytes(store.path(other).read_bytes())


async def doubled(store: Store) -> None:
    """A merge of all was published, its inputs were not retired."""
    await store.lake.compactor(fragments_per_class=3).run_once()
    with store.lake.catalog._database.write() as connection:
        connection.execute(update(schema.fragments).where(schema.fragments.c.id == store.first.id).values(retired_ns=None))


async def behind(store: Store) -> None:
    await store.lake.catalog.publish(Publication(positions={(0, "t", "logs"): (3, 2)}))


async def beyond(store: Store) -> None:
    await store.lake.catalog.publish(Publication(positions={(0, "t", "logs"): (3, 7)}))


def telling(**columns: Any) -> Callable[[Store], None]:
    return lambda store: store.tell(**columns)


def telling_other_statistics(store: Store) -> None:
    from pulka.store.column_stats import encode_stats

    columns = tuple(replace(c, max=c.max + 1) if c.column.name == "n" else c for c in store.first.columns)
    store.tell(stats=encode_stats(columns, store.first.residual))


Plant = Callable[[Store], Awaitable[None] | None]


@pytest.mark.parametrize(
    ("plant", "kind", "detail", "todo"),
    [
        (missing, "missing_object", "5 rows of `logs` cannot be read", "restore the object from a backup"),
        (truncated, "size_mismatch", "in the catalog", "restore the object from a backup"),
        (not_parquet, "unreadable", "Parquet", "restore the object from a backup"),
        (orphan, "orphan_object", "no catalog entry", "pulka store repair --orphans"),
        (foreign, "foreign_object", "belongs to `spans` of tenant `t`", "pulka store repair"),
        (doubled, "doubled_rows", "records: 1 and on of partition 0", "pulka store repair"),
        (behind, "position_behind", "records 3 to 3 again", "pulka store repair"),
        (beyond, "position_beyond", "records 4 to 7 are in no fragment", "read from 4"),
        (telling(row_count=6), "mismatch", "rows", "pulka store repair"),
        (telling(bytes=7), "mismatch", "bytes", "pulka store repair"),
        (telling(min_ns=1), "mismatch", "min_ns", "pulka store repair"),
        (telling(max_ns=1), "mismatch", "max_ns", "pulka store repair"),
        (telling(level=3), "mismatch", "level", "pulka store repair"),
        (telling_other_statistics, "mismatch", "columns", "pulka store repair"),
    ],
)
async def test_each_damage_is_found(store: Store, plant: Plant, kind: str, detail: str, todo: str) -> None:
    done = plant(store)
    if done is not None:
        await done
    (found,) = await findings(store.lake)
    assert (found.kind, detail in found.detail, todo in found.todo) == (kind, True, True), found


async def test_a_flipped_byte_is_found_with_verify(store: Store) -> None:
    flipped(store)
    assert await findings(store.lake) == []
    (found,) = await findings(store.lake, verify=True)
    assert (found.kind, found.key) == ("unreadable", store.first.key)
    assert "checksum" in found.detail
    assert "backup" in found.todo


async def test_what_is_merged_away_meanwhile_is_no_finding(store: Store) -> None:
    class Merging:
        """The catalog of a lake in which a merge comes between the look at the catalog and the look at the objects."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store.lake.catalog, name)

        async def snapshot(self, *args: Any) -> Any:
            before = await store.lake.catalog.snapshot(*args)
            compactor = store.lake.compactor(fragments_per_class=3, retired_grace_s=0.0)
            await compactor.run_once()
            await store.lake.clock.advance(1)
            await compactor.collect()
            return before

    found = [one async for one in check(Merging(), store.lake.store, store.lake.objects(), store.lake.clock)]  # type: ignore[arg-type]
    assert found == []
