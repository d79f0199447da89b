"""Bugs to plant, one at a time: each is a mistake somebody could make, and the simulation must find each.

A plant patches the product from outside for the length of a `with` block.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy.dialects import sqlite

from pulka import _native, seams
from pulka.errors import Conflict
from pulka.intake.dedup import DedupWindow
from pulka.query import reading
from pulka.store import catalog, compaction, fragments, merge, schema, writer
from pulka.store.buffers import Buffer
from pulka.testing.power import VolatileDisk


class Plant(NamedTuple):
    """A bug to plant, and the troubles under which it shows."""

    patch: Callable[[], AbstractContextManager[None]]
    troubles: tuple[str, ...]


PLANTS: dict[str, Plant] = {}


def plant(*troubles: str) -> Callable[[Callable[[], Iterator[None]]], None]:
    def register(function: Callable[[], Iterator[None]]) -> None:
        PLANTS[function.__name__] = Plant(contextmanager(function), troubles)

    return register


def patched(owner: Any, name: str, value: Any) -> AbstractContextManager[Any]:
    return mock.patch.object(owner, name, value)


# The journal


@plant("the power is cut")
def appends_are_not_synced() -> Iterator[None]:
    with patched(VolatileDisk, "sync", lambda self, fd: None):
        yield


@plant("the power is cut")
def new_segments_are_not_synced_into_their_directory() -> Iterator[None]:
    with patched(VolatileDisk, "sync_directory", lambda self, path: None):
        yield


@plant("the power is cut", "the disk fails")
def a_failed_sync_is_tried_again_on_the_same_file() -> Iterator[None]:
    from pulka.journal.segments import Segments

    def append(self: Any, frames: Sequence[bytes]) -> None:
        with patched(Segments, "_abandon", Segments._cut):
            real(self, frames)

    real = Segments.append
    with patched(Segments, "append", append):
        yield


@plant("kill and cut in turns")
def recovery_does_not_sync_what_it_serves() -> Iterator[None]:
    from pulka.journal.segments import Segments

    def reopen(self: Any, segment: Any) -> None:
        self._fd = self._disk.open(segment.path)
        self._disk.truncate(self._fd, segment.stored_bytes)

    with patched(Segments, "_reopen", reopen):
        yield


@plant("the process is killed")
def the_journal_is_released_before_publication() -> Iterator[None]:
    async def release(self: Any, partition: int) -> None:
        await self._journal.release(partition, self._read_upto[partition])

    with patched(writer.Writer, "_release", release):
        yield


# Deduplication


@plant("the process is killed", "flushes are small")
def dedup_keys_are_not_published() -> Iterator[None]:
    real = writer.Writer._publication
    with patched(writer.Writer, "_publication", lambda *args: replace(real(*args), dedup=())):
        yield


@plant("the process is killed")
def dedup_keys_of_the_journal_are_not_recovered() -> Iterator[None]:
    async def nothing(self: Any, journal: Any, partition: int) -> None:
        return None

    with patched(DedupWindow, "_recover_partition", nothing):
        yield


@plant("the process is killed", "flushes are small", "the catalog is slow to answer")
def dedup_recovery_reads_the_catalog_before_the_journal() -> Iterator[None]:
    async def recover(self: Any, catalog: Any, journal: Any) -> None:
        self.load(await catalog.dedup(self._clock.now_ns() - self.window_ns))
        for partition in range(journal.partitions):
            await self._recover_partition(journal, partition)

    with patched(DedupWindow, "recover", recover):
        yield


# The writer


@plant("answers of the catalog are lost")
def a_conflict_does_not_drop_what_is_published() -> Iterator[None]:
    async def resync(self: Any, buffer: Buffer) -> None:
        positions = await self._catalog.positions(buffer.partition)
        buffer.published = positions.get((buffer.tenant, buffer.table), 0)

    with patched(writer.Writer, "_resync", resync):
        yield


@plant("answers of the catalog are lost")
def an_unanswered_publication_is_taken_for_a_failed_one() -> Iterator[None]:
    """Its objects are deleted though it may have been committed."""

    class Tidy:
        def __init__(self, inner: Any, tidy: Callable[[Sequence[seams.Fragment]], Any]) -> None:
            self.inner, self.tidy = inner, tidy

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        async def publish(self, change: seams.Publication) -> None:
            try:
                await self.inner.publish(change)
            except Conflict:
                raise
            except Exception:
                await self.tidy(change.add)
                raise

    real = writer.Writer.__init__

    def init(self: Any, journal: Any, catalog: Any, *args: Any) -> None:
        real(self, journal, Tidy(catalog, self._delete), *args)

    with patched(writer.Writer, "__init__", init):
        yield


@plant("the catalog is slow to change")
def the_buffer_is_emptied_before_the_commit() -> Iterator[None]:
    real = writer.Writer._publication

    def publication(self: Any, buffer: Buffer, follows: Any, *args: Any) -> Any:
        self._buffers.drop(buffer, follows.end)
        return real(self, buffer, follows, *args)

    with patched(writer.Writer, "_publication", publication):
        yield


# Catalog and objects


@plant("answers of the catalog are lost")
def publications_do_not_check_the_position() -> Iterator[None]:
    def move(connection: Any, moves: Any) -> None:
        for (partition, tenant, table), (_, new) in moves.items():
            row = {"partition": partition, "tenant": tenant, "table_name": table, "sequence": new}
            connection.execute(sqlite.insert(schema.positions).values(row).on_conflict_do_update(set_={"sequence": new}))

    with patched(catalog, "_move_positions", move):
        yield


@plant("two compactors", "the catalog is slow to change")
def retired_fragments_may_be_retired_again() -> Iterator[None]:
    def retire(connection: Any, ids: Sequence[str], now_ns: int) -> None:
        at = schema.fragments.c
        connection.execute(schema.fragments.update().where(at.id.in_(ids)).values(retired_ns=now_ns))

    with patched(catalog, "_retire", retire):
        yield


@plant("objects are cut short")
def the_size_of_a_stored_object_is_not_checked() -> Iterator[None]:
    async def put(self: Any, fragment: seams.Fragment, path: Any) -> None:
        await self._store.put_async(fragment.key, path)

    with patched(fragments.FragmentObjects, "put", put):
        yield


@plant("objects are torn")
def a_failed_put_is_ignored() -> Iterator[None]:
    real = fragments.FragmentObjects.put

    async def put(self: Any, fragment: seams.Fragment, path: Any) -> None:
        with suppress(Exception):
            await real(self, fragment, path)

    with patched(fragments.FragmentObjects, "put", put):
        yield


# Compaction and collection


@plant()
def a_merge_leaves_one_input_live() -> Iterator[None]:
    def publication(**change: Any) -> seams.Publication:
        return seams.Publication(**change | {"retire": change["retire"][1:]})

    with patched(merge, "Publication", publication):
        yield


@plant()
def a_merge_drops_a_row_and_repeats_another() -> Iterator[None]:
    real = _native.merge_fragments

    def spoiled(inputs: Sequence[str], outputs: Sequence[str], *, metadata: Any, **options: Any) -> list[str]:
        whole = pa.concat_tables([pq.ParquetFile(name).read() for name in inputs], promote_options="permissive").replace_schema_metadata(None)
        kept = pa.concat_tables([whole.slice(1), whole.slice(1, 1)]) if whole.num_rows > 1 else whole
        for name in ("memory_bytes", "output_rows", "drop", "cancel"):
            options.pop(name, None)
        named = {**metadata, "pulka.id": Path(outputs[0]).stem}
        return [_native.write_fragment(kept.combine_chunks().to_batches(), outputs[0], metadata=named, **options)]

    with patched(_native, "merge_fragments", spoiled):
        yield
    assert _native.merge_fragments is real


@plant()
def retired_objects_go_at_once() -> Iterator[None]:
    real = compaction.collect
    with patched(compaction, "collect", lambda catalog, objects, clock, grace_s: real(catalog, objects, clock, -1.0)):
        yield


@plant()
def inputs_are_deleted_before_the_merge_is_published() -> Iterator[None]:
    real = merge.Merger._store_outputs

    async def store(self: Any, planned: Any, *args: Any) -> Any:
        busy_s = await real(self, planned, *args)
        await self._objects.delete([planned.inputs[0].key])
        return busy_s

    with patched(merge.Merger, "_store_outputs", store):
        yield


# Queries


@plant("the catalog is slow to answer", "flushes are small")
def a_query_takes_the_snapshot_before_the_fresh_batches() -> Iterator[None]:
    real = reading.Reading._source

    class Early:
        def __init__(self, snapshot: seams.Snapshot) -> None:
            self._snapshot = snapshot

        async def snapshot(self, *_: Any) -> seams.Snapshot:
            return self._snapshot

    async def source(self: Any, query: Any, use: Any) -> Any:
        early = await self._catalog.snapshot(query.tenant, use.table.name, use.window(query.window))
        other = copy.copy(self)
        other._catalog = Early(early)
        return await real(other, query, use)

    with patched(reading.Reading, "_source", source):
        yield


@plant("the catalog is slow to change", "flushes are small")
def a_query_takes_fresh_batches_that_are_published() -> Iterator[None]:
    real = catalog.SqlCatalog._snapshot
    with patched(catalog.SqlCatalog, "_snapshot", lambda *args: replace(real(*args), positions={})):
        yield


@plant()
def pruning_takes_bounds_for_exclusive() -> Iterator[None]:
    from pulka.query import column_condition

    def within(op: str, low: Any, high: Any, wanted: Any) -> bool:
        return real(op, low, high, wanted) and (op not in ("=", "<", "<=", ">", ">=") or wanted != (low if "<" in op else high))

    real = column_condition.within
    with patched(column_condition, "within", within):
        yield
