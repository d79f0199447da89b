"""One reader of a live tail.

A batch waits for its reader in the reader's own queue. When that is full the oldest batch goes and its rows are counted, so a
reader that is stuck costs a bounded amount and learns what it missed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa

from pulka.query.tails.filter import Filter
from pulka.query.tails.held import Entry, Held, Queue
from pulka.seams import Clock, Position

__all__ = ["Delivery", "Subscription", "TailSettings", "TailStatus"]

_GROUP_BYTES = 4 << 20
"""Batches that are filtered together, one at least."""


@dataclass(frozen=True, slots=True)
class TailSettings:
    """Bounds of live tails. Bytes are Arrow bytes in memory."""

    buffer_bytes_max: int = 8 << 20
    rows_per_s: float = 1000.0
    subscribers_max: int = 16
    heartbeat_s: float = 10.0
    held_s: float = 60.0
    """How long batches are held when the last reader of a table is gone."""
    linger_s: float = 0.005
    """Batches that come within this time are filtered together."""


@dataclass(slots=True)
class TailStatus:
    """What all readers share."""

    closed: bool = False
    dropped_rows: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a reader gets next; without rows and drops it is a heartbeat. `upto` is where to resume after it.

    `over_rate` rows matched and were left out; `unread` rows were dropped before the filter saw them. `gap`: rows between the
    position to resume from and the oldest one held are missing, nobody knows how many.
    """

    upto: Position
    rows: tuple[pa.RecordBatch, ...] = ()
    over_rate: int = 0
    unread: int = 0
    gap: bool = False


class Subscription:
    """One reader: iterate `deliveries`, then `close`."""

    def __init__(
        self, status: TailStatus, settings: TailSettings, held: Held, chosen: Filter, clock: Clock, start: Position, last: int, leave: Callable[[], None]
    ) -> None:  # fmt: skip
        """From `start`, as far as it is held; or with `last`, that many matching rows of what is held first."""
        low = Position(start.partition, held.low or 0)
        self.filter, self.start, self.gap = chosen, max(start, low), start < low
        self._status, self._limits, self._clock, self._last, self._leave = status, settings, clock, last, leave
        self._queue = Queue(settings.buffer_bytes_max)
        self._upto, self._unread = self.start, 0
        self._allowance, self._refilled_s = settings.rows_per_s, clock.monotonic_s()
        self._woken = asyncio.Event()
        self._backlog = list(held.queue.entries) if last else []
        for entry in held.queue.entries:
            if entry.at > self.start:
                self.add(entry)

    def add(self, entry: Entry) -> None:
        """Queue a batch; the oldest ones go where there is no room."""
        for gone in self._queue.add(entry):
            self._unread += gone.batch.num_rows
            self._status.dropped_rows += gone.batch.num_rows
            self._upto = gone.at
        self.wake()

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    def close(self) -> None:
        """Leave; what is queued is forgotten."""
        self._leave()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """What there is to read, until the server stops; at least one per `heartbeat_s`."""
        if self.gap:
            yield Delivery(self._upto, gap=True)
        if self._backlog:
            yield await self._newest()
        while not self._status.closed:
            if not self._queue.entries and not await self._wait():
                yield Delivery(self._upto)
            elif self._queue.entries:
                await self._clock.sleep(self._limits.linger_s)
                yield await self._next()

    async def _wait(self) -> bool:
        """Whether something came before it was time for a heartbeat."""
        self._woken.clear()
        if self._status.closed:
            return True
        return await _first(self._woken.wait(), self._clock.sleep(self._limits.heartbeat_s))

    async def _newest(self) -> Delivery:
        """The last matching rows of what is held."""
        entries, self._backlog = self._backlog, []
        found: deque[pa.RecordBatch] = deque()
        rows = 0
        async for batch in self.filter.rows([(entry.at, entry.batch) for entry in entries]):
            found.append(batch)
            rows += batch.num_rows
            while rows - found[0].num_rows >= self._last:
                rows -= found.popleft().num_rows
        if rows > self._last:
            found[0] = found[0].slice(rows - self._last)
        return Delivery(self._upto, tuple(found))

    async def _next(self) -> Delivery:
        group = list(self._group())
        unread, self._unread = self._unread, 0
        room = self._room()
        kept: list[pa.RecordBatch] = []
        taken = over = size = 0
        async for batch in self.filter.rows([(entry.at, entry.batch) for entry in group]):
            fits = min(batch.num_rows, room - taken, _fitting(batch, self._limits.buffer_bytes_max - size))
            if fits:
                kept.append(batch.slice(0, fits))
                taken, size = taken + fits, size + kept[-1].nbytes
            over += batch.num_rows - fits
        self._allowance -= taken
        self._status.dropped_rows += over
        self._upto = max(self._upto, group[-1].at)
        return Delivery(group[-1].at, tuple(kept), over, unread)

    def _group(self) -> Iterable[Entry]:
        size = 0
        while self._queue.entries and (not size or size + self._queue.entries[0].bytes <= _GROUP_BYTES):
            entry = self._queue.pop()
            size += entry.bytes
            yield entry

    def _room(self) -> int:
        """Rows that may be shown now: a second's worth at once, then as the rate goes."""
        now_s, rate = self._clock.monotonic_s(), self._limits.rows_per_s
        self._allowance = min(max(rate, 1.0), self._allowance + (now_s - self._refilled_s) * rate)
        self._refilled_s = now_s
        return int(self._allowance)


def _fitting(batch: pa.RecordBatch, bytes_max: int) -> int:
    """How many of its first rows take at most `bytes_max`."""
    rows = int(batch.num_rows)
    while rows and (size := batch.slice(0, rows).nbytes) > bytes_max:
        rows = min(rows - 1, rows * max(bytes_max, 0) // size)
    return rows


async def _first(wanted: Awaitable[object], other: Awaitable[object]) -> bool:
    """Whether `wanted` was done, and not `other` alone."""
    tasks = [asyncio.ensure_future(wanted), asyncio.ensure_future(other)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()
