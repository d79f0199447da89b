"""A journal in memory: for tests, and for a server that may forget on exit."""

import asyncio
from collections.abc import Sequence
from itertools import islice

import pyarrow as pa

from pulka.errors import Temporary, TooLarge
from pulka.model.ids import partition_of
from pulka.seams import Clock, Position, Record

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """See `pulka.seams.Journal`. Durable as long as the process."""

    def __init__(self, *, clock: Clock, partitions: int = 4, bytes_max: int = 1 << 30) -> None:
        self.partitions = partitions
        self._clock = clock
        self._bytes_max = bytes_max
        self._bytes = 0
        self._records: list[dict[int, Record]] = [{} for _ in range(partitions)]
        self._last = [0] * partitions
        self._grown = asyncio.Condition()
        self._closed = False

    async def append(
        self, tenant: str, table: str, batch: pa.RecordBatch, *, dedup_key: str | None = None, ack: bytes = b""
    ) -> Position:
        """Keep a batch."""
        self._admit(_size(batch, ack))
        partition = partition_of(tenant, self.partitions)
        self._last[partition] += 1
        position = Position(partition, self._last[partition])
        self._records[partition][position.sequence] = Record(
            position, tenant, table, batch, dedup_key, self._clock.now_ns(), ack
        )
        async with self._grown:
            self._grown.notify_all()
        return position

    def _admit(self, size: int) -> None:
        if self._closed:
            raise Temporary("the journal is closed", hint="send again when the server is back")
        if size > self._bytes_max:
            raise TooLarge("the batch is larger than the journal", hint="send less at once, or raise journal_bytes_max")
        if self._bytes + size > self._bytes_max:
            raise Temporary("the journal is full", hint="send again later, or raise journal_bytes_max")
        self._bytes += size

    async def read(self, partition: int, after: int, limit: int) -> Sequence[Record]:
        """Records behind `after`."""
        return list(islice((record for sequence, record in self._records[partition].items() if sequence > after), limit))

    async def wait(self, partition: int, after: int) -> None:
        """Wait for a record behind `after`."""
        async with self._grown:
            await self._grown.wait_for(lambda: self._closed or self._has(partition, after))
        if not self._has(partition, after):
            raise Temporary("the journal is closed")

    def _has(self, partition: int, after: int) -> bool:
        return any(sequence > after for sequence in reversed(self._records[partition]))

    async def release(self, partition: int, upto: int) -> None:
        """Forget records up to `upto`."""
        records = self._records[partition]
        for sequence in [sequence for sequence in records if sequence <= upto]:
            record = records.pop(sequence)
            self._bytes -= _size(record.batch, record.ack)

    async def close(self) -> None:
        """Refuse appends, wake who waits."""
        self._closed = True
        async with self._grown:
            self._grown.notify_all()


def _size(batch: pa.RecordBatch, ack: bytes) -> int:
    return int(batch.nbytes) + len(ack) + 1024
