"""The journal on files: durable when `append` returns, bounded in bytes, exact about damage.

    <directory>/p000/00000000000000000001.wal   segments of partition 0 (segments.py)
    <directory>/quarantine/                     copies of damaged ranges, for a person to look at
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from pulka.errors import Misconfigured, Temporary, TooLarge
from pulka.journal.disk import Disk
from pulka.journal.partition import Append, Partition
from pulka.journal.segments import RecoveryReport, Segments
from pulka.model.ids import partition_of
from pulka.seams import Clock, Position, Record

__all__ = ["RecoveryReport", "WalJournal"]

_log = logging.getLogger(__name__)
_GROUP_BYTES = 16 << 20
"""A group this large is committed without waiting for more."""
_FRAME_BYTES, _COLUMN_BYTES = 1024, 256
"""About what a frame needs besides the data."""


class WalJournal:
    """See `pulka.seams.Journal`. One process may have a directory open; the application holds the lock."""

    def __init__(self, partitions: Sequence[Partition], executor: ThreadPoolExecutor, clock: Clock, bytes_max: int, backlog_bytes_max: int, recovered: RecoveryReport) -> None:  # fmt: skip
        self.partitions = len(partitions)
        self.recovered = recovered
        self._partitions = partitions
        self._executor = executor
        self._clock = clock
        self._bytes_max = bytes_max
        self._backlog_bytes_max = backlog_bytes_max
        self._backlog_bytes = 0
        self._closed = False

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        clock: Clock,
        partitions: int = 4,
        commit_delay_ms: float = 2.0,
        segment_bytes: int = 64 << 20,
        bytes_max: int = 4 << 30,
        backlog_bytes_max: int = 64 << 20,
        tail_bytes_max: int = 32 << 20,
        disk: Disk | None = None,
    ) -> "WalJournal":
        """Recover what is there and be ready. `recovered` says what was found.

        `tail_bytes_max` bounds the recent records kept in memory, over all partitions.
        """
        try:
            return await cls._open(
                directory, clock, partitions, commit_delay_ms / 1000, segment_bytes, bytes_max, backlog_bytes_max, tail_bytes_max, disk or Disk()
            )  # fmt: skip
        except OSError as error:
            raise Misconfigured(
                f"the journal in {directory} cannot be opened: {error.strerror}",
                hint="see that the directory is writable and its disk has space and works",
            ) from error

    @classmethod
    async def _open(
        cls, directory: Path, clock: Clock, partitions: int, delay_s: float, segment_bytes: int, bytes_max: int, backlog_bytes_max: int, tail_bytes_max: int, disk: Disk
    ) -> "WalJournal":  # fmt: skip
        count = await asyncio.to_thread(_count_partitions, directory, partitions)
        recovered = RecoveryReport()
        rotate_bytes = min(segment_bytes, bytes_max) // 8
        logs = [
            Segments(directory / f"p{number:03d}", number, disk, segment_bytes, rotate_bytes, recovered)
            for number in range(count)
        ]
        for log in logs:  # one after the other: recovery holds a whole segment in memory
            await asyncio.to_thread(log.open)
        executor = ThreadPoolExecutor(count, "journal")
        group_bytes = min(_GROUP_BYTES, segment_bytes)
        opened = [
            Partition(number, log, clock=clock, executor=executor, delay_s=delay_s, group_bytes=group_bytes, tail_bytes=tail_bytes_max // count)
            for number, log in enumerate(logs)
        ]  # fmt: skip
        return cls(opened, executor, clock, bytes_max, backlog_bytes_max, recovered)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all segments on disk."""
        return sum(partition.stored_bytes for partition in self._partitions)

    async def append(
        self, tenant: str, table: str, batch: pa.RecordBatch, *, dedup_key: str | None = None, ack: bytes = b""
    ) -> Position:
        """Store a batch; durable when this returns."""
        size = batch.nbytes + len(ack) + _FRAME_BYTES + _COLUMN_BYTES * batch.num_columns
        self._admit(size)
        future: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._settle(size))
        partition = self._partitions[partition_of(tenant, self.partitions)]
        return await partition.append(Append(tenant, table, batch, dedup_key, ack, self._clock.now_ns(), size, future))

    def _admit(self, size: int) -> None:
        """Refuse at once what there is no room for; the size is an upper estimate, since frames are compressed."""
        if self._closed:
            raise Temporary("the journal is closed", hint="send again when the server is back")
        if size > self._bytes_max:
            raise TooLarge("the batch is larger than the journal", hint="send less at once, or raise journal_bytes_max")
        if self._backlog_bytes and self._backlog_bytes + size > self._backlog_bytes_max:
            raise Temporary("too many batches wait for the journal's disk", hint="send again later, and less at once")
        if self.stored_bytes + self._backlog_bytes + size > self._bytes_max:
            raise Temporary(
                "the journal is full: fragments are published more slowly than batches arrive",
                hint="send again later; if it stays so, look at the object store, or raise journal_bytes_max",
                retry_after_s=5.0,
            )
        self._backlog_bytes += size

    def _settle(self, size: int) -> None:
        self._backlog_bytes -= size

    async def read(self, partition: int, after: int, limit: int) -> Sequence[Record]:
        """Up to `limit` records behind `after`; fewer when they are large."""
        return await self._partitions[partition].read(after, limit)

    async def wait(self, partition: int, after: int) -> None:
        """Return once there is a record behind `after`; Temporary when the journal closes."""
        await self._partitions[partition].wait(after)

    async def release(self, partition: int, upto: int) -> None:
        """Records up to `upto` may go; the disk is freed by whole segments."""
        await self._partitions[partition].release(upto)

    async def close(self) -> None:
        """Commit what waits, then close the files."""
        self._closed = True
        for partition in self._partitions:
            await partition.close()
        self._executor.shutdown()


def _count_partitions(directory: Path, wanted: int) -> int:
    """Never fewer than there are on disk: their records must be read."""
    directory.mkdir(parents=True, exist_ok=True)
    present = [int(path.name[1:]) + 1 for path in directory.glob("p[0-9][0-9][0-9]") if path.is_dir()]
    count = max([wanted, *present])
    if count > wanted:
        _log.warning("%s has %d partitions; all stay in use although journal_partitions is %d", directory, count, wanted)
    return count
