"""The journal in memory: for tests, and for those who may lose what is not in a fragment yet."""

import asyncio
from collections.abc import Sequence

import pyarrow as pa

from pulka.model.ids import partition_of
from pulka.seams import Clock, Position, Record

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """`pulka.seams.Journal` without a disk."""

    def __init__(self, clock: Clock, partitions: int = 1) -> None:
        self.partitions = partitions
        self._clock = clock
        self._records: list[list[Record]] = [[] for _ in range(partitions)]
        self._last = [0] * partitions
        self._changed = asyncio.Condition()

    async def append(
        self, tenant: str, table: str, batch: pa.RecordBatch, *, dedup_key: str | None = None, ack: bytes = b""
    ) -> Position:
        """Keep a batch."""
        partition = partition_of(tenant, self.partitions)
        self._last[partition] += 1
        position = Position(partition, self._last[partition])
        self._records[partition].append(Record(position, tenant, table, batch, dedup_key, self._clock.now_ns(), ack))
        async with self._changed:
            self._changed.notify_all()
        return position

    async def read(self, partition: int, after: int, limit: int) -> Sequence[Record]:
        """Up to `limit` records after a sequence."""
        return [record for record in self._records[partition] if record.position.sequence > after][:limit]

    async def wait(self, partition: int, after: int) -> None:
        """Return once there is a record after `after`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._last[partition] > after)

    async def release(self, partition: int, upto: int) -> None:
        """Forget records up to a sequence."""
        self._records[partition] = [record for record in self._records[partition] if record.position.sequence > upto]

    async def close(self) -> None:
        """Nothing to close."""
