"""Several compactors on one catalog, as processes of one lake have it: nothing is lost, doubled, or left behind."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore
from tests.contract.conftest import empty_catalog

from pulka import _native
from pulka.clock import SystemClock
from pulka.model.ids import new_id
from pulka.model.tables import table
from pulka.model.windows import HOUR_NS
from pulka.seams import Publication
from pulka.store.catalog import SqlCatalog
from pulka.store.check import check
from pulka.store.compaction import CompactionSettings, Compactor
from pulka.store.fragments import FragmentObjects, FragmentOrigin, PositionRange, WriteOptions, fragment_of
from pulka.store.plan import DAY_NS, plan
from pulka.testing.clock import FakeClock

LOGS = table("logs")
SETTINGS = CompactionSettings(
    class_base_rows=10, fragments_per_class=4, locality_rows=120, inputs_max=8, levels_max=12, overlap_min=1.0, retired_grace_s=0
)
TOMORROW = 20_000 * DAY_NS + 2 * DAY_NS

Open = Callable[[], "asyncio.Future[SqlCatalog]"]


@pytest.fixture(params=["sqlite", "postgres"])
async def open_catalog(request: pytest.FixtureRequest) -> AsyncIterator[partial[object]]:
    """Opens the same catalog again, as another process would."""
    yield partial(SqlCatalog.open, empty_catalog(request.param, request), FakeClock(start_ns=TOMORROW, auto=True))


class Bucket:
    """A store, and fragments in it that a writer might have written."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.entropy = directory, Random(4)
        self.store = LocalStore(directory / "objects", mkdir=True)
        self.rows: Counter[tuple[str, int]] = Counter()
        self.sequence = 0

    def objects(self, name: str) -> FragmentObjects:
        objects = FragmentObjects(self.store, self.directory / name)
        objects.prepare()
        return objects

    async def flush(self, catalog: SqlCatalog, tenant: str, hour: int, rows: int = 30) -> None:
        start = 20_000 * DAY_NS + hour * HOUR_NS
        services = [self.entropy.choice("abcdefghij") for _ in range(rows)]
        numbers = list(range(1000 * self.sequence, 1000 * self.sequence + rows))
        schema_ = pa.schema([("timestamp", pa.timestamp("ns", tz="UTC")), ("service", pa.string()), ("n", pa.int64())])
        batch = pa.record_batch([pa.array([start + n % 1000 for n in numbers]).cast(schema_.types[0]), services, numbers], schema=schema_)
        self.rows.update((tenant, n) for n in numbers)
        self.sequence += 1
        origin = FragmentOrigin(
            new_id(self.sequence, self.entropy), tenant, "logs", start, HOUR_NS, 0, start, (PositionRange(0, self.sequence - 1, self.sequence),),
            flush=((start, HOUR_NS),),
        )  # fmt: skip
        objects = self.objects("writer")
        path = objects.spool_path(origin.id)
        fragment = fragment_of(origin, _native.write_fragment([batch], str(path), **WriteOptions().arguments(LOGS), metadata=origin.metadata()))
        await objects.put(fragment, path)
        await catalog.publish(Publication(add=(fragment,)))

    async def stored(self, catalog: SqlCatalog) -> Counter[tuple[str, int]]:
        found: Counter[tuple[str, int]] = Counter()
        for fragment in await catalog.fragments():
            numbers = pq.ParquetFile(self.directory / "objects" / fragment.key).read()["n"].to_pylist()
            found.update((fragment.tenant, n) for n in numbers)
        return found


async def test_compactors_that_race_end_with_every_row_once(open_catalog: partial[object], tmp_path: Path) -> None:
    bucket, catalogs = Bucket(tmp_path), [await open_catalog() for _ in range(4)]  # type: ignore[misc]
    writer = catalogs[0]
    for n in range(40):
        await bucket.flush(writer, "tu"[n % 2], n % 3)
    compactors = [
        Compactor(catalog, bucket.objects(f"spool{n}"), FakeClock(n, start_ns=TOMORROW, auto=True), SETTINGS) for n, catalog in enumerate(catalogs)
    ]

    async def compact(compactor: Compactor) -> None:
        while await compactor.run_once():
            pass

    async def write() -> None:
        for n in range(20):
            await bucket.flush(writer, "tu"[n % 2], n % 3)

    await asyncio.gather(write(), *map(compact, compactors))
    await compact(compactors[0])
    assert await bucket.stored(writer) == bucket.rows
    assert plan(await writer.fragments(), TOMORROW, SETTINGS) == []
    assert sum(c.counts.failures for c in compactors) == 0
    await compactors[0].collect()
    far = SystemClock()
    found = [f async for f in check(writer, bucket.store, bucket.objects("check"), far, verify=True, grace_s=-60)]
    assert {f.kind for f in found} == {"position_behind"}, found  # fragments come without a journal here
    for catalog in catalogs:
        await catalog.close()


async def test_one_worker_after_a_conflict_chooses_at_random(open_catalog: partial[object], tmp_path: Path) -> None:
    bucket, catalog = Bucket(tmp_path), await open_catalog()  # type: ignore[misc]
    for _ in range(4):
        await bucket.flush(catalog, "t", 0)
    slow, quick = (Compactor(catalog, bucket.objects(name), FakeClock(start_ns=TOMORROW, auto=True), SETTINGS) for name in ("slow", "quick"))
    await slow._sweep()
    assert await quick.run_once() == 1
    assert await slow._merge_next() is None
    assert (slow.counts.conflicts, slow._choices) == (1, 2)
    assert len(await catalog.fragments()) == 1
    await catalog.close()
