"""A small store to test with: journal, catalog, objects, and ways to fail at any step."""

import asyncio
import importlib
import json
import random
import sys
import types
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore, ObjectStore

from pulka.model.fields import columns_of
from pulka.model.windows import HOUR_NS, TimeRange
from pulka.seams import Position, Record


def _stand_in() -> types.ModuleType:
    """The native fragment functions in a few lines of pyarrow, for a tree whose Rust part is not built."""
    module = types.ModuleType("pulka._native")

    def write_fragment(batches: Sequence[pa.RecordBatch], path: str, **options: Any) -> str:
        table = pa.concat_tables([pa.Table.from_batches([batch]) for batch in batches], promote_options="default")
        keys = [key.lstrip("-") for key in options["sort"]]
        table = table.sort_by([(key, "ascending") for key in keys if key in table.column_names])
        description = json.dumps(_describe(table))
        metadata = {**options["metadata"], "pulka.fragment": description}
        pq.write_table(table.replace_schema_metadata(metadata), path)
        return json.dumps({**json.loads(description), "bytes": Path(path).stat().st_size})

    def _describe(table: pa.Table) -> dict[str, Any]:
        nanos = table["timestamp"].cast(pa.int64())
        columns = [
            {
                "name": c.name,
                "path": c.path,
                "type": c.type,
                "nulls": table[c.name].null_count,
                "min": None,
                "max": None,
            }
            for c in columns_of(table.schema)
        ]
        ends = pa.compute.min_max(nanos).as_py()
        return {"rows": table.num_rows, "bytes": 0, "raw_bytes": table.nbytes, "min_ns": ends["min"], "max_ns": ends["max"], "columns": columns, "residual": {}}  # fmt: skip

    def merge_fragments(inputs: Sequence[str], outputs: Sequence[str], **options: Any) -> list[str]:
        tables = [pq.ParquetFile(name).read() for name in inputs]
        batches = [batch for table in tables for batch in table.replace_schema_metadata(None).to_batches()]
        return [write_fragment(batches, outputs[0], **options)]

    def inspect_fragment(path: str, verify: bool = False) -> dict[str, str]:
        try:
            file = pq.ParquetFile(path)
            if verify:
                file.read()
        except (pa.ArrowException, OSError) as error:
            raise ValueError(str(error)) from error
        return {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}

    module.write_fragment, module.merge_fragments, module.inspect_fragment = (
        write_fragment,
        merge_fragments,
        inspect_fragment,
    )  # type: ignore[attr-defined]
    return module


try:
    if not hasattr(importlib.import_module("pulka._native"), "write_fragment"):
        raise ImportError
except ImportError:
    import pulka

    sys.modules["pulka._native"] = pulka._native = _stand_in()  # type: ignore[assignment]

from pulka.store.cache import FragmentCache  # noqa: E402
from pulka.store.catalog import SqlCatalog  # noqa: E402
from pulka.store.compaction import CompactionSettings, Compactor  # noqa: E402
from pulka.store.download import Downloads  # noqa: E402
from pulka.store.fragments import FragmentObjects, WriteOptions  # noqa: E402
from pulka.store.merge import Merger  # noqa: E402
from pulka.store.writer import Writer, WriterSettings  # noqa: E402


class ManualClock:
    """Time moves when the test says so; sleepers wake then."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self._now_s = 1_800_000_000.0
        self._moved = asyncio.Condition()

    def now_ns(self) -> int:
        return int(self._now_s * 1e9)

    def monotonic_s(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        until = self._now_s + seconds
        async with self._moved:
            await self._moved.wait_for(lambda: self._now_s >= until)

    async def advance(self, seconds: float) -> None:
        async with self._moved:
            self._now_s += seconds
            self._moved.notify_all()


class ListJournal:
    """A journal in lists, one per partition."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.released = dict.fromkeys(range(partitions), 0)
        self._records: list[list[Record]] = [[] for _ in range(partitions)]
        self._grown = asyncio.Condition()

    async def append(
        self,
        tenant: str,
        table: str,
        batch: pa.RecordBatch,
        *,
        dedup_key: str | None = None,
        ack: bytes = b"",
        partition: int = 0,
    ) -> Position:
        async with self._grown:
            records = self._records[partition]
            position = Position(partition, len(records) + 1)
            records.append(Record(position, tenant, table, batch, dedup_key, 0, ack))
            self._grown.notify_all()
        return position

    async def read(self, partition: int, after: int, limit: int) -> Sequence[Record]:
        start = max(after, self.released[partition])
        return self._records[partition][start : start + limit]

    async def wait(self, partition: int, after: int) -> None:
        async with self._grown:
            await self._grown.wait_for(lambda: len(self._records[partition]) > max(after, self.released[partition]))

    async def release(self, partition: int, upto: int) -> None:
        self.released[partition] = upto

    async def close(self) -> None:
        pass


class Injected(Exception):
    """The failure a test asked for."""


@dataclass
class Fault:
    """Counts steps and fails at one of them."""

    at: int = -1
    seen: int = 0
    fired: str = ""

    def step(self, name: str) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.fired = name
            raise Injected(name)


class Failing:
    """Any object whose named async methods may fail before they act, or after (the answer is lost)."""

    def __init__(self, inner: Any, fault: Fault, *names: str) -> None:
        self._inner, self._fault, self._names = inner, fault, names

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._failing(name, method) if name in self._names else method

    def _failing(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self._fault.step(f"before {name}")
            answer = await method(*args, **kwargs)
            self._fault.step(f"after {name}")
            return answer

        return call


@dataclass
class Lake:
    """Everything the store needs, in one directory; the objects may be elsewhere."""

    directory: Path
    catalog: SqlCatalog
    clock: ManualClock
    journal: ListJournal
    store: ObjectStore
    written: int = 0
    writers: list[Writer] = field(default_factory=list)

    def objects(self, fault: Fault | None = None) -> FragmentObjects:
        objects = FragmentObjects(self.store, self.directory / "spool", self.cache())
        objects.prepare()
        if fault is not None:
            objects._store = Failing(objects._store, fault, "put_async", "head_async", "delete_async")
        return objects

    def cache(self, bytes_max: int = 1 << 30) -> FragmentCache | None:
        """Each with a directory of its own, as if on another machine."""
        if isinstance(self.store, LocalStore):
            return None
        cache = FragmentCache(Path(mkdtemp(dir=self.directory)), bytes_max, Downloads(self.store))
        cache.prepare()
        return cache

    async def writer(self, fault: Fault | None = None, **settings: Any) -> Writer:
        catalog = Failing(self.catalog, fault, "publish") if fault else self.catalog
        writer = Writer(self.journal, catalog, self.objects(fault), self.clock, WriterSettings(**settings))
        self.writers.append(writer)
        await writer.start()
        return writer

    def compactor(self, fault: Fault | None = None, **settings: Any) -> Compactor:
        catalog = Failing(self.catalog, fault, "publish") if fault else self.catalog
        return Compactor(catalog, self.objects(fault), self.clock, CompactionSettings(**settings))

    def merger(self, fault: Fault | None = None) -> Merger:
        catalog = Failing(self.catalog, fault, "publish") if fault else self.catalog
        return Merger(catalog, self.objects(fault), self.clock, WriteOptions())

    async def kill(self, writer: Writer) -> None:
        """The process is gone: nothing of the writer runs any more."""
        tasks = [*writer._followers.values(), *([writer._flusher] if writer._flusher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.writers.remove(writer)

    async def append(self, rows: int = 10, *, hours: Sequence[int] = (0,), table: str = "logs", **options: Any) -> None:
        """Rows numbered on, spread over hours."""
        numbers = range(self.written, self.written + rows)
        self.written += rows
        stamps = [hours[n % len(hours)] * HOUR_NS + n for n in numbers]
        schema = pa.schema([("timestamp", pa.timestamp("ns", tz="UTC")), ("n", pa.int64()), ("service", pa.string())])
        columns = [
            pa.array(stamps, pa.int64()).cast(schema.types[0]),
            pa.array(numbers),
            pa.array([f"s{n % 3}" for n in numbers]),
        ]
        await self.journal.append("t", table, pa.record_batch(columns, schema=schema), **options)

    async def settled(self, writer: Writer) -> None:
        """Wait until the writer has read all that was appended."""
        end = {p: len(records) for p, records in enumerate(self.journal._records) if self.journal.released[p] < len(records)}
        while any(writer._read_upto[p] < upto for p, upto in end.items()):
            await asyncio.sleep(0)

    async def numbers(self, writer: Writer, table: str = "logs") -> list[int]:
        """What a query sees, sorted: fresh batches first, then a snapshot."""
        fresh = writer.fresh("t", table)
        snapshot = await self.catalog.snapshot("t", table, TimeRange())
        lease = await self.objects().lease(snapshot.fragments)
        found = [n for path in lease.paths.values() for n in pq.ParquetFile(path).read()["n"].to_pylist()]
        lease.release(False)
        for position, batch in fresh:
            if position.sequence > snapshot.positions.get(position.partition, 0):
                found += batch["n"].to_pylist()
        return sorted(found)

    def object_keys(self) -> set[str]:
        return {item["path"] for chunk in self.store.list() for item in chunk if item["path"].endswith(".parquet")}


@asynccontextmanager
async def opened(directory: Path, store: ObjectStore) -> AsyncIterator[Lake]:
    clock = ManualClock()
    catalog = await SqlCatalog.open(f"sqlite:///{directory}/catalog.db", clock)
    made = Lake(directory, catalog, clock, ListJournal(), store)
    yield made
    for writer in list(made.writers):
        await made.kill(writer)
    await catalog.close()


@pytest.fixture
def open_lake(tmp_path: Path) -> Callable[[ObjectStore], AbstractAsyncContextManager[Lake]]:
    return partial(opened, tmp_path)


@pytest.fixture
def lake_in() -> Callable[[Path], AbstractAsyncContextManager[Lake]]:
    """For tests that need many, one after the other, each in a directory and a loop of its own."""
    return lambda directory: opened(directory, LocalStore(directory / "objects", mkdir=True))


@pytest.fixture
async def lake(tmp_path: Path, open_lake: Any) -> AsyncIterator[Lake]:
    async with open_lake(LocalStore(tmp_path / "objects", mkdir=True)) as made:
        yield made


@pytest.fixture
def new_fault() -> type[Fault]:
    return Fault
