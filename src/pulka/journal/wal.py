"""The journal in files: group commit, one fdatasync for all appends that arrived meanwhile.

Considered: one fsync per append (simple; 10 to 50 times slower on cloud disks), and io_uring (no gain at a few hundred commits a
second). A commit takes whatever is queued when the last one ended, so load itself makes the groups larger.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from pulka import _native
from pulka.errors import Corrupt, Temporary
from pulka.journal.segments import DiskRefused, Recovery, Segments
from pulka.model.ids import partition_of
from pulka.seams import Clock, Position, Record

__all__ = ["WalJournal"]


@dataclass(slots=True)
class _Append:
    tenant: str
    table: str
    batch: pa.RecordBatch
    dedup_key: str | None
    ack: bytes
    bytes: int
    done: "asyncio.Future[Position]"


class WalJournal:
    """`pulka.seams.Journal` in files below one directory, a folder per partition."""

    def __init__(
        self, directory: Path, *, clock: Clock, partitions: int, commit_delay_ms: float, segment_bytes: int, bytes_max: int,
        backlog_bytes_max: int,
    ) -> None:  # fmt: skip
        self.partitions = partitions
        self.recovered = Recovery()
        self._threads = ThreadPoolExecutor(partitions + 2, thread_name_prefix="journal")
        self._bytes_max, self._backlog_bytes_max = bytes_max, backlog_bytes_max
        self._backlog_bytes = 0
        self._partitions = [
            _Partition(number, Segments(directory / f"p{number:03d}", segment_bytes), clock, commit_delay_ms / 1000, self._threads)
            for number in range(partitions)
        ]

    @classmethod
    async def open(
        cls, directory: Path, *, clock: Clock, partitions: int = 4, commit_delay_ms: float = 2.0, segment_bytes: int = 64 << 20,
        bytes_max: int = 4 << 30, backlog_bytes_max: int = 64 << 20,
    ) -> Self:  # fmt: skip
        """Recover what is there, and begin to commit. `recovered` says what was found."""
        found = len(list(directory.glob("p[0-9][0-9][0-9]")))  # a journal keeps the partitions it was made with
        journal = cls(
            directory, clock=clock, partitions=found or partitions, commit_delay_ms=commit_delay_ms, segment_bytes=segment_bytes,
            bytes_max=bytes_max, backlog_bytes_max=backlog_bytes_max,
        )  # fmt: skip
        for partition in journal._partitions:
            await partition.start(journal.recovered)
        return journal

    @property
    def bytes(self) -> int:
        """Bytes on disk that are not released."""
        return sum(partition.segments.bytes for partition in self._partitions)

    async def append(
        self, tenant: str, table: str, batch: pa.RecordBatch, *, dedup_key: str | None = None, ack: bytes = b""
    ) -> Position:
        """Store a batch; durable when this returns. Temporary when there is no room."""
        size = batch.get_total_buffer_size()
        self._admit(size)
        self._backlog_bytes += size
        try:
            partition = self._partitions[partition_of(tenant, self.partitions)]
            return await partition.append(tenant, table, batch, dedup_key, ack, size)
        finally:
            self._backlog_bytes -= size

    def _admit(self, size: int) -> None:
        if self.bytes + self._backlog_bytes >= self._bytes_max:
            raise Temporary(
                "the journal is full: the store does not keep up, or cannot write",
                hint="look at the log and at disk space; `journal_bytes_max` bounds it",
            )
        if self._backlog_bytes and self._backlog_bytes + size > self._backlog_bytes_max:
            raise Temporary("too many batches wait for the disk", hint="send again; `journal_backlog_bytes_max` bounds it", retry_after_s=0.2)

    async def read(self, partition: int, after: int, limit: int) -> Sequence[Record]:
        """Up to `limit` records after a sequence, in order."""
        return await self._partitions[partition].read(after, limit)

    async def wait(self, partition: int, after: int) -> None:
        """Return once there is a record after `after`."""
        await self._partitions[partition].wait(after)

    async def release(self, partition: int, upto: int) -> None:
        """Records up to `upto` may be forgotten; their files go, a whole segment at a time."""
        await self._partitions[partition].release(upto)

    async def close(self) -> None:
        """Commit what waits, then close the files."""
        for partition in self._partitions:
            await partition.close()
        await asyncio.to_thread(self._threads.shutdown)


class _Partition:
    """One ordered log: a queue of appends, the task that commits them, and the newest records as objects."""

    def __init__(self, number: int, segments: Segments, clock: Clock, delay_s: float, threads: ThreadPoolExecutor) -> None:
        self.segments = segments
        self._number, self._clock, self._delay_s, self._threads = number, clock, delay_s, threads
        self._queue: list[_Append] = []
        self._queued, self._grown, self._disk = asyncio.Event(), asyncio.Condition(), asyncio.Lock()
        self._recent: OrderedDict[int, Record] = OrderedDict()
        self._recent_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self, recovery: Recovery) -> None:
        await self._run(self.segments.open, recovery)
        self._task = asyncio.create_task(self._commit_forever())

    async def append(
        self, tenant: str, table: str, batch: pa.RecordBatch, dedup_key: str | None, ack: bytes, size: int
    ) -> Position:
        if self._closing:
            raise Temporary("Pulka is stopping", hint="send again once it is up")
        done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self._queue.append(_Append(tenant, table, batch, dedup_key, ack, size, done))
        self._queued.set()
        return await done

    async def _commit_forever(self) -> None:
        while not self._closing or self._queue:
            await self._queued.wait()
            if self._queue and not self._closing and self._delay_s:
                await self._clock.sleep(self._delay_s)
            group, self._queue = self._queue, []
            self._queued.clear()
            if group:
                await self._commit(group)

    async def _commit(self, group: list[_Append]) -> None:
        first = self.segments.last + 1
        try:
            async with self._disk:
                records = await self._run(self._write, first, group)
        except DiskRefused as error:
            refused = Temporary(f"the journal cannot be written: {error}", hint="free space on the disk of the state directory; intake goes on by itself")
            _settle(group, refused)
        except Exception as error:
            _settle(group, error)
        else:
            await self._publish(records)
            for item, record in zip(group, records, strict=True):
                if not item.done.done():
                    item.done.set_result(record.position)

    def _write(self, first: int, group: list[_Append]) -> list[Record]:
        arrival_ns = self._clock.now_ns()
        frames = [
            _native.journal_encode(first + n, item.tenant, item.table, arrival_ns, item.batch, item.dedup_key, item.ack)
            for n, item in enumerate(group)
        ]
        self.segments.append(first, frames)
        return [
            Record(Position(self._number, first + n), item.tenant, item.table, item.batch, item.dedup_key, arrival_ns, item.ack)
            for n, item in enumerate(group)
        ]

    async def _publish(self, records: list[Record]) -> None:
        """Readers see a record before its sender hears of it: acknowledged is visible."""
        for record in records:
            self._recent[record.position.sequence] = record
            self._recent_bytes += record.batch.get_total_buffer_size()
        while self._recent_bytes > _RECENT_BYTES and len(self._recent) > 1:
            _, old = self._recent.popitem(last=False)
            self._recent_bytes -= old.batch.get_total_buffer_size()
        async with self._grown:
            self._grown.notify_all()

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        if after + 1 in self._recent:
            found = range(after + 1, after + 1 + limit)
            return [self._recent[sequence] for sequence in found if sequence in self._recent]
        async with self._disk:
            sequences = sorted(sequence for sequence in self.segments.places if sequence > after)[:limit]
            return await self._run(self._load, sequences)

    def _load(self, sequences: list[int]) -> list[Record]:
        return [self._load_one(sequence) for sequence in sequences]

    def _load_one(self, sequence: int) -> Record:
        place = self.segments.places[sequence]
        try:
            _, tenant, table, arrival_ns, batch, key, ack = _native.journal_decode(self.segments.read(place))
        except ValueError as error:
            raise Corrupt(f"record {sequence} in {place.segment} cannot be read: {error}", hint="restart Pulka: it puts corrupt bytes aside") from error
        return Record(Position(self._number, sequence), tenant, table, batch, key, arrival_ns, ack)

    async def wait(self, after: int) -> None:
        async with self._grown:
            await self._grown.wait_for(lambda: self.segments.last > after)

    async def release(self, upto: int) -> None:
        for sequence in [sequence for sequence in self._recent if sequence <= upto]:
            self._recent_bytes -= self._recent.pop(sequence).batch.get_total_buffer_size()
        async with self._disk:
            await self._run(self.segments.release, upto)

    async def close(self) -> None:
        self._closing = True
        self._queued.set()
        if self._task is not None:
            await self._task
        await self._run(self.segments.close)

    async def _run(self, work, *arguments):  # type: ignore[no-untyped-def]
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


_RECENT_BYTES = 8 << 20
"""Records kept as objects for the reader that follows the tail; it shares them, so they cost nothing twice."""


def _settle(group: list[_Append], error: Exception) -> None:
    for item in group:
        if not item.done.done():
            item.done.set_exception(error)
