"""Once: a window of the keys of acknowledged batches, so that a retry answers as the first attempt did.

The keys themselves live in the journal and the catalog, committed with the data; this is their index in memory.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from pulka.seams import Catalog, Clock, DedupKey, Journal

__all__ = ["DedupWindow"]

_Id = tuple[str, str, str]
_ENTRY_BYTES = 300  # the tuples, strings and the table slot that hold one entry, measured on CPython 3.11
_READ_RECORDS = 64


class DedupWindow:
    """Key to acknowledgement per tenant and table, for `window_s`, in at most `bytes_max` (the oldest go first)."""

    def __init__(self, clock: Clock, window_s: float, bytes_max: int) -> None:
        self._clock = clock
        self.window_ns = int(window_s * 1e9)
        self._bytes_max = bytes_max
        self.bytes = 0
        self._entries: OrderedDict[_Id, tuple[int, bytes]] = OrderedDict()
        self._running: dict[_Id, asyncio.Task[bytes]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    async def recover(self, catalog: Catalog, journal: Journal) -> None:
        """Fill the window at start: published keys from the catalog, the rest from the journal's records."""
        since_ns = self._clock.now_ns() - self.window_ns
        self.load(await catalog.dedup(since_ns))
        for partition in range(journal.partitions):
            await self._recover_partition(journal, partition)
        # The writer is at work already: what it published, and the journal forgot, since the first look is in neither.
        self.load(await catalog.dedup(since_ns))

    def load(self, keys: Iterable[DedupKey]) -> None:
        """Remember keys of earlier runs; those past their time are skipped."""
        for key in sorted(keys, key=lambda key: key.expires_ns):
            self._remember((key.tenant, key.table, key.key), key.expires_ns, key.ack)
        self._forget_old()

    def get(self, tenant: str, table: str, key: str) -> bytes | None:
        """What the first attempt under this key answered, or None."""
        self._forget_old()
        entry = self._entries.get((tenant, table, key))
        return entry[1] if entry else None

    async def once(
        self, tenant: str, table: str, key: str, attempt: Callable[[], Awaitable[bytes]]
    ) -> tuple[bytes, bool]:
        """The answer under `key`, and whether an earlier attempt gave it. A retry meanwhile waits for the first attempt.

        The attempt outlives a caller that goes away: a sender that hung up and comes back must find its key.
        """
        known = self.get(tenant, table, key)
        if known is not None:
            return known, True
        identity = (tenant, table, key)
        running = self._running.get(identity)
        if running is not None:
            return await asyncio.shield(running), True
        return await asyncio.shield(self._start(identity, attempt)), False

    def _start(self, identity: _Id, attempt: Callable[[], Awaitable[bytes]]) -> "asyncio.Task[bytes]":
        async def run() -> bytes:
            return await attempt()

        task = self._running[identity] = asyncio.create_task(run())
        task.add_done_callback(lambda done: self._settle(identity, done))
        return task

    def _settle(self, identity: _Id, task: "asyncio.Task[bytes]") -> None:
        del self._running[identity]
        if not task.cancelled() and task.exception() is None:
            self._remember(identity, self._clock.now_ns() + self.window_ns, task.result())

    def _remember(self, identity: _Id, expires_ns: int, ack: bytes) -> None:
        if identity in self._entries:
            return
        self._entries[identity] = (expires_ns, ack)
        self.bytes += _size(identity, ack)
        while self.bytes > self._bytes_max:
            self._forget_oldest()

    def _forget_old(self) -> None:
        now_ns = self._clock.now_ns()
        while self._entries and next(iter(self._entries.values()))[0] <= now_ns:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        identity, (_, ack) = self._entries.popitem(last=False)
        self.bytes -= _size(identity, ack)

    async def _recover_partition(self, journal: Journal, partition: int) -> None:
        after = 0
        while records := await journal.read(partition, after, _READ_RECORDS):
            self.load(
                DedupKey(record.tenant, record.table, record.dedup_key, record.arrival_ns + self.window_ns, record.ack)
                for record in records
                if record.dedup_key is not None
            )
            after = records[-1].position.sequence


def _size(identity: _Id, ack: bytes) -> int:
    return _ENTRY_BYTES + sum(map(len, identity)) + len(ack)
