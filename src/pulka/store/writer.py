"""The writer: tails the journal, answers queries from its buffers, and turns them into published fragments.

One task per journal partition reads; one task flushes. A record leaves its buffer only after the transaction that
published its rows has returned, and leaves the journal only after that. So whatever step fails, its rows are in the
journal or in a fragment; a snapshot's positions say which of a reader's fresh rows are in the snapshot's fragments.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from pulka import _native
from pulka.errors import Conflict
from pulka.model.fields import FieldType
from pulka.model.ids import new_id
from pulka.model.tables import table as table_definition
from pulka.model.windows import HOUR_NS
from pulka.seams import Catalog, Clock, DedupKey, Fragment, Journal, Position, Publication, Record
from pulka.store.buffers import Buffer, Buffers, Entry
from pulka.store.fragments import FragmentObjects, FragmentOrigin, PositionRange, WriteOptions, fragment_of
from pulka.store.split import split

__all__ = ["Writer", "WriterCounts", "WriterSettings"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """When the writer flushes, and how much it holds. Bytes are Arrow bytes in memory."""

    flush_bytes: int = 64 << 20
    flush_age_s: float = 30.0
    # Past this, the largest buffers are flushed however young; past the hard limit the journal is not read any more.
    buffer_bytes_max: int = 256 << 20
    buffer_bytes_hard: int = 384 << 20
    window_ns: int = HOUR_NS
    windows_per_flush: int = 32
    flushes_at_once: int = 2
    dedup_window_s: float = 3600.0
    read_records: int = 32
    tick_s: float = 0.5
    retry_s: float = 1.0
    retry_max_s: float = 30.0
    write: WriteOptions = field(default_factory=WriteOptions)


@dataclass(slots=True)
class WriterCounts:
    """Counters since the start."""

    records: int = 0
    flushes: int = 0
    fragments: int = 0
    rows: int = 0
    bytes: int = 0
    conflicts: int = 0
    failures: int = 0


class Writer:
    """`pulka.seams.Fresh` over the journal's tail.

    Readers call `fresh` BEFORE they take a catalog snapshot and drop batches at or before the snapshot's positions:
    what is published in between is then in both and counted once; the other way round it could be in neither.
    """

    def __init__(
        self,
        journal: Journal,
        catalog: Catalog,
        objects: FragmentObjects,
        clock: Clock,
        settings: WriterSettings | None = None,
    ) -> None:
        self.counts = WriterCounts()
        self.flushed: list[Callable[[Publication], None]] = []
        """Called with each publication after it is committed; must return at once."""
        self.taken: list[Callable[[Record], None]] = []
        """Called with each acknowledged record once queries see it, again after a replay; must return at once."""
        self._journal, self._catalog, self._objects, self._clock = journal, catalog, objects, clock
        self._settings = settings or WriterSettings()
        self._buffers = Buffers()
        self._read_upto = dict.fromkeys(range(journal.partitions), 0)
        self._released = dict.fromkeys(range(journal.partitions), 0)
        self._caught_up = {partition: asyncio.Event() for partition in range(journal.partitions)}
        self._followers: dict[int, asyncio.Task[None]] = {}
        self._flusher: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(self._settings.flushes_at_once)
        self._wake, self._room, self._read = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._closing = False

    async def start(self) -> None:
        """Replay what the journal holds; every acknowledged row is visible when this returns."""
        await asyncio.to_thread(self._objects.prepare)
        self._flusher = asyncio.create_task(self._flush_forever())
        for partition in self._read_upto:
            self._follow(partition)
        for caught_up in self._caught_up.values():
            await caught_up.wait()

    def fresh(self, tenant: str, table: str) -> Sequence[tuple[Position, pa.RecordBatch]]:
        """Batches that may not be in a fragment yet, in order per partition."""
        buffers = self._buffers.of_table(tenant, table)
        return [(entry.record.position, entry.record.batch) for buffer in buffers for entry in buffer.entries]

    def fresh_fields(self, tenant: str) -> Mapping[str, Mapping[str, frozenset[FieldType]]]:
        """Per table, the fields of those batches."""
        found: dict[str, dict[str, frozenset[FieldType]]] = {}
        for table, buffers in self._buffers.of_tenant(tenant).items():
            for buffer in buffers:
                if buffer.entries:
                    _merge_fields(found.setdefault(table, {}), buffer.fields())
        return found

    async def reached(self, at: Position) -> None:
        """Return once the record at `at` is buffered or published, and its fields are known."""
        while self._read_upto[at.partition] < at.sequence:
            self._read.clear()
            await self._read.wait()

    @property
    def buffered_bytes(self) -> int:
        """Arrow bytes of all that is not published."""
        return self._buffers.bytes

    @property
    def failing(self) -> Sequence[str]:
        """Tables, with their tenants, that could not be flushed at the last try."""
        return sorted({f"{buffer.tenant}/{buffer.table}" for buffer in self._buffers.filled() if buffer.failures})

    async def flush(self) -> None:
        """Publish everything that is buffered now. The first error is raised after all were tried once; nothing is lost."""
        upto = dict(self._read_upto)
        while pending := [b for b in self._buffers.filled() if b.entries[0].sequence <= upto[b.partition]]:
            errors = await self._flush_all(pending)
            if errors:
                raise errors[0]

    async def close(self) -> None:
        """Stop reading, flush, stop. What could not be flushed stays in the journal."""
        self._closing = True
        self._wake.set()
        for follower in self._followers.values():
            follower.cancel()
        tasks = [*self._followers.values(), *([self._flusher] if self._flusher else [])]
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._flush_all(list(self._buffers.filled()))

    # Reading

    def _follow(self, partition: int) -> None:
        self._followers[partition] = asyncio.create_task(self._read_forever(partition))

    async def _read_forever(self, partition: int) -> None:
        failures = 0
        while True:
            try:
                positions = await self._catalog.positions(partition)
                await self._read_from(partition, positions)
            except Exception as error:
                failures += 1
                self.counts.failures += 1
                _log.warning("partition %d cannot be read, trying again: %s", partition, error)
                await self._clock.sleep(self._backoff_s(failures))

    async def _read_from(self, partition: int, positions: Mapping[tuple[str, str], int]) -> None:
        while True:
            await self._until_room()
            records = await self._journal.read(partition, self._read_upto[partition], self._settings.read_records)
            for record in records:
                self._take(record, positions.get((record.tenant, record.table), 0))
            self._read.set()
            if not records:
                self._caught_up[partition].set()
                await self._release(partition)
                await self._journal.wait(partition, self._read_upto[partition])

    def _take(self, record: Record, published: int) -> None:
        buffer = self._buffers.get(record.position.partition, record.tenant, record.table, published)
        added = self._buffers.add(buffer, record, self._clock.monotonic_s())
        self._read_upto[record.position.partition] = record.position.sequence
        self.counts.records += 1
        if buffer.bytes >= self._settings.flush_bytes or self._buffers.bytes > self._settings.buffer_bytes_max:
            self._wake.set()
        for tell in self.taken if added else ():
            tell(record)

    async def _until_room(self) -> None:
        while self._buffers.bytes > self._settings.buffer_bytes_hard:
            self._room.clear()
            await self._room.wait()

    # Flushing

    async def _flush_forever(self) -> None:
        while not self._closing:
            due = self._due()
            if due:
                await self._flush_all(due)
            else:
                await self._nap()

    async def _nap(self) -> None:
        """Until the next tick, or until a buffer is full."""
        self._wake.clear()
        if self._closing:
            return
        waits = {
            asyncio.ensure_future(self._wake.wait()),
            asyncio.ensure_future(self._clock.sleep(self._settings.tick_s)),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _due(self) -> list[Buffer]:
        now_s, limits = self._clock.monotonic_s(), self._settings
        ready = sorted((b for b in self._buffers.filled() if b.retry_at_s <= now_s), key=lambda b: -b.bytes)
        due, excess = [], self._buffers.bytes - limits.buffer_bytes_max
        for buffer in ready:
            old = now_s - buffer.entries[0].since_s >= limits.flush_age_s
            if old or buffer.bytes >= limits.flush_bytes or excess > 0:
                due.append(buffer)
                excess -= buffer.bytes
        return due

    async def _flush_all(self, buffers: Sequence[Buffer]) -> list[Exception]:
        outcomes = await asyncio.gather(*(self._try_flush(buffer) for buffer in buffers))
        for partition in sorted({buffer.partition for buffer in buffers}):
            await self._release(partition)
        return [error for error in outcomes if error is not None]

    async def _try_flush(self, buffer: Buffer) -> Exception | None:
        """Flush; after an error the buffer is as before, and rests for a while."""
        async with self._slots, buffer.lock:
            try:
                await self._flush(buffer)
            except Exception as error:
                self._rest(buffer, error)
                return error
        self._room.set()
        return None

    def _rest(self, buffer: Buffer, error: Exception) -> None:
        buffer.failures += 1
        buffer.retry_at_s = self._clock.monotonic_s() + self._backoff_s(buffer.failures)
        self.counts.failures += 1
        _log.warning("flush of %s of tenant %s failed, trying again: %s", buffer.table, buffer.tenant, error)

    def _backoff_s(self, failures: int) -> float:
        return min(self._settings.retry_max_s, self._settings.retry_s * 2.0 ** min(failures - 1, 16))

    async def _flush(self, buffer: Buffer) -> None:
        entries = buffer.head(2 * self._settings.flush_bytes)
        if not entries:
            return
        # What the rows written below follow. Not read again later: the buffer may learn of another writer meanwhile.
        follows = PositionRange(buffer.partition, buffer.published, entries[-1].sequence)
        stored: list[Fragment] = []
        try:
            await self._write_fragments(buffer, follows, [entry.record.batch for entry in entries], stored)
        except BaseException:
            await self._delete(stored)
            raise
        change = self._publication(buffer, follows, entries, stored)
        try:
            # After any error but Conflict the change may have been committed all the same (the answer was lost): the objects
            # must stay. The next try then meets a Conflict and learns that its rows are published.
            await self._catalog.publish(change)
        except Conflict:
            await self._delete(stored)
            await self._resync(buffer)
            return
        self._buffers.drop(buffer, follows.end)
        self._count(change)

    async def _write_fragments(
        self, buffer: Buffer, follows: PositionRange, batches: Sequence[pa.RecordBatch], stored: list[Fragment]
    ) -> None:
        parts = await asyncio.to_thread(split, batches, self._settings.window_ns, self._settings.windows_per_flush)
        for window, rows in parts.items():
            now_ns = self._clock.now_ns()
            origin = FragmentOrigin(
                new_id(now_ns, self._clock.random), buffer.tenant, buffer.table, window.start_ns, window.width_ns,
                level=0, created_ns=now_ns, positions=(follows,), flush=tuple(parts),
            )  # fmt: skip
            await self._write_fragment(origin, rows, stored)

    async def _write_fragment(self, origin: FragmentOrigin, rows: list[pa.RecordBatch], stored: list[Fragment]) -> None:
        path = self._objects.spool_path(origin.id)
        arguments = self._settings.write.arguments(table_definition(origin.table))
        write = partial(_native.write_fragment, rows, str(path), **arguments, metadata=origin.metadata())
        try:
            fragment = fragment_of(origin, await asyncio.to_thread(write))
            stored.append(fragment)
            await self._objects.put(fragment, path)
        finally:
            self._objects.discard(path)

    def _publication(
        self, buffer: Buffer, follows: PositionRange, entries: Sequence[Entry], fragments: Sequence[Fragment]
    ) -> Publication:
        expires_ns = self._clock.now_ns() + int(self._settings.dedup_window_s * 1e9)
        records = [entry.record for entry in entries]
        keys = tuple(DedupKey(r.tenant, r.table, r.dedup_key, expires_ns, r.ack) for r in records if r.dedup_key)
        moves = {(buffer.partition, buffer.tenant, buffer.table): (follows.start, follows.end)}
        return Publication(add=tuple(fragments), positions=moves, dedup=keys)

    def _count(self, change: Publication) -> None:
        self.counts.flushes += 1
        self.counts.fragments += len(change.add)
        self.counts.rows += sum(fragment.rows for fragment in change.add)
        self.counts.bytes += sum(fragment.bytes for fragment in change.add)
        for tell in self.flushed:
            tell(change)

    async def _delete(self, fragments: Sequence[Fragment]) -> None:
        """Objects nobody refers to; what cannot be deleted now is an orphan for `pulka store repair`."""
        try:
            await self._objects.delete([fragment.key for fragment in fragments])
        except Exception as error:
            _log.info("objects of a failed flush stay behind: %s", error)

    async def _resync(self, buffer: Buffer) -> None:
        """Another writer, or an earlier try whose answer was lost, moved this table's position: believe the catalog.

        What it has is dropped from the buffer. If it has less than we published, it was rebuilt: replay the journal.
        """
        self.counts.conflicts += 1
        positions = await self._catalog.positions(buffer.partition)
        position = positions.get((buffer.tenant, buffer.table), 0)
        if position == buffer.published:
            raise Conflict("the catalog refused a flush though nobody else moved its position")
        if position > buffer.published:
            self._buffers.drop(buffer, position)
        else:
            await self._replay(buffer.partition)

    async def _replay(self, partition: int) -> None:
        follower = self._followers.pop(partition)
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)
        self._buffers.clear(partition)
        self._read_upto[partition] = 0
        if not self._closing:
            self._follow(partition)

    async def _release(self, partition: int) -> None:
        """Let the journal forget what is published; a failure only means that it keeps it a little longer."""
        waiting = [buffer.entries[0].sequence for buffer in self._buffers.filled(partition)]
        upto = min(waiting) - 1 if waiting else self._read_upto[partition]
        if upto <= self._released[partition]:
            return
        try:
            await self._journal.release(partition, upto)
            self._released[partition] = upto
        except Exception as error:
            _log.warning("partition %d cannot be released, trying again: %s", partition, error)


def _merge_fields(into: dict[str, frozenset[FieldType]], fields: Mapping[str, frozenset[FieldType]]) -> None:
    for path, types in fields.items():
        into[path] = into.get(path, frozenset()) | types
