"""Batches of one table in their order, bounded in bytes: those that wait for a reader, and the newest ones, for readers that come back."""

from collections import deque
from dataclasses import dataclass, field

import pyarrow as pa

from pulka.query.tails.filter import Batches
from pulka.seams import Position

__all__ = ["Entry", "Held", "Queue", "entry_of"]

_COLUMN_OVERHEAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch, where it is in the journal, and what it takes in memory."""

    at: Position
    batch: pa.RecordBatch
    bytes: int


@dataclass(slots=True)
class Queue:
    """Batches in their order, in at most `bytes_max`, but one at least."""

    bytes_max: int
    entries: deque[Entry] = field(default_factory=deque)
    bytes: int = 0

    def add(self, entry: Entry) -> list[Entry]:
        """Append; the entries that had to go."""
        self.entries.append(entry)
        self.bytes += entry.bytes
        gone = []
        while self.bytes > self.bytes_max and len(self.entries) > 1:
            gone.append(self.pop())
        return gone

    def pop(self) -> Entry:
        """Take the oldest."""
        entry = self.entries.popleft()
        self.bytes -= entry.bytes
        return entry


class Held:
    """The newest batches of one table. All of its batches behind sequence `low` are here."""

    def __init__(self, bytes_max: int, fresh: Batches) -> None:
        self.queue = Queue(bytes_max)
        self.low: int | None = None
        self.newest = 0
        for at, batch in fresh:
            self.add(entry_of(at, batch))

    def add(self, entry: Entry) -> None:
        """Hold a batch; the oldest ones go where there is no room."""
        for gone in self.queue.add(entry):
            self.low = gone.at.sequence
        self.newest = entry.at.sequence

    def published(self, upto: int) -> None:
        """The position of the catalog, read after the first batches were taken over."""
        if self.low is None:
            first = self.queue.entries[0].at.sequence - 1 if self.queue.entries else upto
            self.low = min(upto, first)
            self.newest = max(self.newest, self.low)


def entry_of(at: Position, batch: pa.RecordBatch) -> Entry:
    """A batch with what it takes in memory."""
    return Entry(at, batch, batch.get_total_buffer_size() + _COLUMN_OVERHEAD_BYTES * batch.num_columns)
