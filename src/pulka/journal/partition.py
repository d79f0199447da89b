"""One partition: gathers appends into groups, commits each group with one sync, serves readers."""

import asyncio
import errno
import logging
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import pyarrow as pa

from pulka._native import journal_encode
from pulka.errors import BadInput, Corrupt, PulkaError, Temporary
from pulka.journal.segments import Segments
from pulka.seams import Clock, Position, Record

__all__ = ["Append", "Partition"]

_log = logging.getLogger(__name__)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(slots=True, eq=False)
class Append:
    """A batch on its way to the disk; `future` gets its position or the error."""

    tenant: str
    table: str
    batch: pa.RecordBatch
    dedup_key: str | None
    ack: bytes
    arrival_ns: int
    size: int
    future: asyncio.Future[Position]

    def record(self, position: Position) -> Record:
        """The record this becomes at `position`."""
        return Record(position, self.tenant, self.table, self.batch, self.dedup_key, self.arrival_ns, self.ack)

    def fail(self, error: BaseException) -> None:
        """Tell the caller, if it still waits."""
        if not self.future.done():
            self.future.set_exception(error)


class Tail:
    """The newest records as objects, so that a reader close behind does not decode again. Without gaps, bounded in bytes."""

    def __init__(self, bytes_max: int) -> None:
        self._records: dict[int, tuple[Record, int]] = {}
        self._bytes_max = bytes_max
        self._bytes = 0
        self._first = 1
        self._last = 0

    def add(self, record: Record, size: int) -> None:
        """Keep one more record."""
        sequence = record.position.sequence
        if not self._records:
            self._first = sequence
        self._last = sequence
        self._records[sequence] = record, size
        self._bytes += size
        while self._bytes > self._bytes_max:
            self.drop(self._first)

    def drop(self, upto: int) -> None:
        """Forget records up to `upto`."""
        for sequence in range(self._first, min(upto, self._last) + 1):
            _, size = self._records.pop(sequence)
            self._bytes -= size
            self._first = sequence + 1

    def read(self, after: int, limit: int) -> list[Record] | None:
        """Up to `limit` records behind `after`; None when the tail begins later than that."""
        if not self._records or after + 1 < self._first:
            return None
        return [self._records[sequence][0] for sequence in range(after + 1, min(after + limit, self._last) + 1)]


class Partition:
    """See `pulka.seams.Journal`, for one partition."""

    def __init__(
        self, number: int, segments: Segments, *, clock: Clock, executor: Executor, delay_s: float, group_bytes: int, tail_bytes: int
    ) -> None:
        self._number = number
        self._segments = segments
        self._clock = clock
        self._executor = executor
        self._delay_s = delay_s
        self._group_bytes = group_bytes
        self._tail = Tail(tail_bytes)
        self._queue: deque[Append] = deque()
        self._queued_bytes = 0
        self._due = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._files = asyncio.Lock()
        self._grown = asyncio.Condition()
        self._last = segments.last
        self._released = 0
        self._closing = False
        self._committer = asyncio.create_task(self._commit_forever(), name=f"journal-{number}")

    @property
    def stored_bytes(self) -> int:
        """Bytes on disk."""
        return self._segments.stored_bytes

    async def append(self, append: Append) -> Position:
        """Queue for the next group; returns when it is durable."""
        self._queue.append(append)
        self._queued_bytes += append.size
        if self._queued_bytes >= self._group_bytes or not self._delay_s:
            self._due.set()
        elif self._timer is None:
            self._timer = asyncio.create_task(self._ring())
        # The batch stays in the queue, and in the books, when the caller gives up.
        return await asyncio.shield(append.future)

    async def _ring(self) -> None:
        await self._clock.sleep(self._delay_s)
        self._timer = None
        self._due.set()

    async def _commit_forever(self) -> None:
        while self._queue or not self._closing:
            await self._due.wait()
            self._due.clear()
            # What came during the last commit waited long enough: no new delay until the queue is empty.
            while self._queue:
                async with self._files:
                    await self._commit(self._take())

    def _take(self) -> list[Append]:
        """The next group: at least one append, then as many as fit."""
        group: list[Append] = []
        size = 0
        while self._queue and (not group or size + self._queue[0].size <= self._group_bytes):
            size += self._queue[0].size
            group.append(self._queue.popleft())
        self._queued_bytes -= size
        return group

    async def _commit(self, group: list[Append]) -> None:
        try:
            records = await asyncio.get_running_loop().run_in_executor(self._executor, self._write, group)
        except OSError as error:
            self._fail(group, _temporary(error))
        except Exception as error:  # nobody may wait forever
            _log.exception("journal partition %d: a commit failed", self._number)
            self._fail(group, error)
        else:
            await self._publish(records)

    def _write(self, group: Sequence[Append]) -> list[tuple[Append, Record]]:
        """In a thread: encode and store a group. An append that cannot be encoded fails alone."""
        frames: list[bytes] = []
        stored: list[tuple[Append, Record]] = []
        for append in group:
            sequence = self._segments.next_sequence + len(frames)
            try:
                frames.append(_encode(sequence, append))
            except ValueError as error:
                append.future.get_loop().call_soon_threadsafe(append.fail, BadInput(f"the batch cannot be stored: {error}"))
            else:
                stored.append((append, append.record(Position(self._number, sequence))))
        if frames:
            self._segments.append(frames)
        return stored

    async def _publish(self, stored: Sequence[tuple[Append, Record]]) -> None:
        for append, record in stored:
            self._tail.add(record, append.size)
            self._last = record.position.sequence
            if not append.future.done():
                append.future.set_result(record.position)
        async with self._grown:
            self._grown.notify_all()

    def _fail(self, group: Sequence[Append], error: Exception) -> None:
        _log.warning("journal partition %d: %d appends were refused: %s", self._number, len(group), error)
        for append in group:
            append.fail(error if not isinstance(error, PulkaError) else _again(error))

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Records behind `after`, from memory if they are recent, else from the files."""
        while (after := max(after, self._released)) < self._last and limit > 0:
            recent = self._tail.read(after, limit)
            if recent is not None:
                return recent
            places = self._segments.places(after, limit)
            records, damaged = await asyncio.to_thread(self._segments.load, places)
            for place in damaged:
                place.segment.drop(place.sequence)
            if damaged:
                self._last = max(self._segments.last, self._released)
            if records:
                return records
            if not damaged and self._released < places[0].sequence:
                raise Corrupt(f"{places[0].segment.path} is gone", hint="bring the file back, or restart without it")
        return []

    async def wait(self, after: int) -> None:
        """Wait for a record behind `after`."""
        async with self._grown:
            await self._grown.wait_for(lambda: self._closing or self._last > max(after, self._released))
        if self._last <= max(after, self._released):
            raise Temporary("the journal is closed")

    async def release(self, upto: int) -> None:
        """Forget records up to `upto`; files go as a whole."""
        self._released = max(self._released, min(upto, self._last))
        self._tail.drop(self._released)
        if not self._segments.releasable(self._released):
            return
        async with self._files:
            try:
                await asyncio.get_running_loop().run_in_executor(self._executor, self._segments.release, self._released)
            except OSError as error:
                _log.warning("journal partition %d: cannot free released segments yet: %s", self._number, error.strerror)

    async def close(self) -> None:
        """Commit what waits, then close."""
        self._closing = True
        self._due.set()
        await self._committer
        if self._timer is not None:
            self._timer.cancel()
        async with self._grown:
            self._grown.notify_all()
        async with self._files:
            self._segments.close()


def _encode(sequence: int, append: Append) -> bytes:
    return journal_encode(
        sequence, append.tenant, append.table, append.arrival_ns, append.batch, append.dedup_key, append.ack
    )


def _temporary(error: OSError) -> Temporary:
    reason = os.strerror(error.errno) if error.errno else "unknown error"
    remedy = "free space on the journal's disk" if error.errno in _NO_SPACE else "look at the journal's disk"
    return Temporary(f"the journal cannot write: {reason}", hint=f"{remedy}; nothing was kept, send the same again")


def _again(error: PulkaError) -> Exception:
    """A copy for each waiting caller: a raised exception carries its own traceback."""
    if isinstance(error, Temporary):
        return Temporary(error.message, hint=error.hint, retry_after_s=error.retry_after_s)
    return error
