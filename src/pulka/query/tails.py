"""Live tails: subscriptions to acknowledged batches as the writer takes them, filtered like queries, bounded in bytes.

A batch waits for its reader in the reader's own queue. When that is full the oldest batch goes and its rows are counted, so
a reader that is stuck costs a bounded amount and learns what it missed. The newest batches of a table that is tailed are held
for readers that come back: a position in the journal says where they were.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from pulka.errors import BadInput, Temporary
from pulka.query.tail_filter import Batches, Filter, Filters
from pulka.seams import Catalog, Clock, Fresh, Position, Record

__all__ = ["Delivery", "Subscription", "TailSettings", "Tails"]

_GROUP_BYTES = 4 << 20
"""Batches that are filtered together, one at least."""
_COLUMN_OVERHEAD_BYTES = 512


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


@dataclass(frozen=True, slots=True)
class _Entry:
    at: Position
    batch: pa.RecordBatch
    bytes: int


@dataclass(slots=True)
class _Queue:
    """Batches in their order, in at most `bytes_max`, but one at least."""

    bytes_max: int
    entries: deque[_Entry] = field(default_factory=deque)
    bytes: int = 0

    def add(self, entry: _Entry) -> list[_Entry]:
        """Append; the entries that had to go."""
        self.entries.append(entry)
        self.bytes += entry.bytes
        gone = []
        while self.bytes > self.bytes_max and len(self.entries) > 1:
            gone.append(self.pop())
        return gone

    def pop(self) -> _Entry:
        entry = self.entries.popleft()
        self.bytes -= entry.bytes
        return entry


class _Held:
    """The newest batches of one table. All of its batches behind sequence `low` are here."""

    def __init__(self, bytes_max: int, fresh: Batches) -> None:
        self.queue = _Queue(bytes_max)
        self.low: int | None = None
        self.newest = 0
        self.readers: list[Subscription] = []
        self.idle_since_s = 0.0
        for at, batch in fresh:
            self.add(_entry(at, batch))

    def add(self, entry: _Entry) -> None:
        for gone in self.queue.add(entry):
            self.low = gone.at.sequence
        self.newest = entry.at.sequence

    def published(self, upto: int) -> None:
        """The position of the catalog, read after the first batches were taken over."""
        if self.low is None:
            first = self.queue.entries[0].at.sequence - 1 if self.queue.entries else upto
            self.low = min(upto, first)
            self.newest = max(self.newest, self.low)


class Tails:
    """All live tails of a lake. Belongs to one event loop."""

    def __init__(
        self, filters: Filters, catalog: Catalog, fresh: Fresh, clock: Clock, partition_of: Callable[[str], int], settings: TailSettings | None = None
    ) -> None:  # fmt: skip
        """`partition_of` tells the journal partition of a tenant."""
        self.settings = settings or TailSettings()
        self.dropped_rows = 0
        self.closed = False
        self._filters, self._catalog, self._fresh, self._clock, self._partition_of = filters, catalog, fresh, clock, partition_of
        self._held: dict[tuple[str, str], _Held] = {}

    @property
    def subscribers(self) -> int:
        """Readers at this moment."""
        return sum(len(held.readers) for held in self._held.values())

    def offer(self, record: Record) -> None:
        """A record that queries see from now on; returns at once."""
        held = self._held.get((record.tenant, record.table))
        if held is None or record.position.sequence <= held.newest or not record.batch.num_rows:
            return
        if not held.readers and self._clock.monotonic_s() - held.idle_since_s > self.settings.held_s:
            del self._held[record.tenant, record.table]
            return
        entry = _entry(record.position, record.batch)
        held.add(entry)
        for reader in held.readers:
            reader.add(entry)

    async def subscribe(
        self, tenant: str, table: str, *, where: str | None = None, search: str | None = None, after: Position | None = None, last: int = 0
    ) -> "Subscription":  # fmt: skip
        """A subscription from now on; or from `after`, as far as that is still held; or from the `last` matching rows that are held.

        Temporary when the tenant has as many as it may; BadInput, NotFound or BadQuery when the filter or position cannot be used.
        """
        partition = self._partition_of(tenant)
        if after is not None and after.partition != partition:
            raise BadInput("this is no position of this tenant's journal", hint="resume with the id of the last event you got")
        chosen = await self._filters.make(tenant, table, where=where, search=search)
        held = await self._hold(tenant, table, partition)
        self._check_room(tenant)
        made = Subscription(self, held, chosen, self._clock, partition, after, last)
        held.readers.append(made)
        return made

    async def _hold(self, tenant: str, table: str, partition: int) -> _Held:
        self._forget_idle()
        held = self._held.get((tenant, table))
        if held is None:
            held = self._held[tenant, table] = _Held(self.settings.buffer_bytes_max, self._fresh.fresh(tenant, table))
            held.idle_since_s = self._clock.monotonic_s()
        if held.low is None:
            positions = await self._catalog.positions(partition)
            held.published(positions.get((tenant, table), 0))
        return held

    def _check_room(self, tenant: str) -> None:
        if self.closed:
            raise Temporary("the server stops", hint="try again")
        taken = sum(len(held.readers) for (owner, _), held in self._held.items() if owner == tenant)
        if taken >= self.settings.subscribers_max:
            raise Temporary(
                f"there are {taken} live tails already", hint="end one of them, or raise tail_subscribers_max", retry_after_s=5
            )  # fmt: skip

    def _forget_idle(self) -> None:
        before_s = self._clock.monotonic_s() - self.settings.held_s
        for key in [key for key, held in self._held.items() if not held.readers and held.idle_since_s < before_s]:
            del self._held[key]

    def close(self) -> None:
        """End every subscription."""
        self.closed = True
        for held in self._held.values():
            for reader in held.readers:
                reader.wake()


class Subscription:
    """One reader: iterate `deliveries`, then `close`."""

    def __init__(
        self, tails: Tails, held: _Held, chosen: Filter, clock: Clock, partition: int, after: Position | None, last: int
    ) -> None:  # fmt: skip
        low = held.low or 0
        self.filter = chosen
        self.start = Position(partition, held.newest if after is None else max(after.sequence, low))
        self.gap = after is not None and after.sequence < low
        self._last = last if after is None else 0
        self._tails, self._held, self._clock = tails, held, clock
        self._limits = tails.settings
        self._queue = _Queue(self._limits.buffer_bytes_max)
        self._upto, self._unread = self.start, 0
        self._allowance, self._refilled_s = self._limits.rows_per_s, clock.monotonic_s()
        self._woken = asyncio.Event()
        first = held.queue.entries if self._last else (one for one in held.queue.entries if one.at > self.start)
        self._backlog = list(first) if self._last else []
        for entry in () if self._last else first:
            self.add(entry)

    def add(self, entry: _Entry) -> None:
        """Queue a batch; the oldest ones go where there is no room."""
        for gone in self._queue.add(entry):
            self._unread += gone.batch.num_rows
            self._tails.dropped_rows += gone.batch.num_rows
            self._upto = gone.at
        self.wake()

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    def close(self) -> None:
        """Leave; what is queued is forgotten."""
        if self in self._held.readers:
            self._held.readers.remove(self)
            self._held.idle_since_s = self._clock.monotonic_s()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """What there is to read, until the server stops; at least one per `heartbeat_s`."""
        if self.gap:
            yield Delivery(self._upto, gap=True)
        if self._backlog:
            yield await self._newest()
        while not self._tails.closed:
            if not self._queue.entries and not await self._wait():
                yield Delivery(self._upto)
            elif self._queue.entries:
                await self._clock.sleep(self._limits.linger_s)
                yield await self._next()

    async def _wait(self) -> bool:
        """Whether something came before it was time for a heartbeat."""
        self._woken.clear()
        if self._tails.closed:
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
        self._tails.dropped_rows += over
        self._upto = max(self._upto, group[-1].at)
        return Delivery(group[-1].at, tuple(kept), over, unread)

    def _group(self) -> Iterable[_Entry]:
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


def _entry(at: Position, batch: pa.RecordBatch) -> _Entry:
    return _Entry(at, batch, batch.get_total_buffer_size() + _COLUMN_OVERHEAD_BYTES * batch.num_columns)


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
