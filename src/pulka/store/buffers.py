"""What the writer holds in memory: records read from the journal whose rows are not in a published fragment."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pulka.model.batches import fields_of
from pulka.model.fields import FieldType
from pulka.seams import Record

__all__ = ["Buffer", "Buffers", "Entry"]

_COLUMN_OVERHEAD_BYTES = 512
"""Arrow objects around the values of one column; without it a million one-row batches would count as nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record and what it costs. `since_s` is the monotonic time it was read."""

    record: Record
    bytes: int
    since_s: float

    @property
    def sequence(self) -> int:
        """Its place in the partition."""
        return self.record.position.sequence


@dataclass(slots=True)
class Buffer:
    """Unpublished records of one table in one journal partition, in order. `published` is the catalog's position."""

    partition: int
    tenant: str
    table: str
    published: int
    entries: list[Entry] = field(default_factory=list)
    bytes: int = 0
    failures: int = 0
    retry_at_s: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _fields: dict[str, frozenset[FieldType]] = field(default_factory=dict)
    _fields_upto: int = 0

    def head(self, bytes_max: int) -> list[Entry]:
        """The oldest entries of together at most `bytes_max`, but one at least; a barrier is the last of them.

        A barrier is a batch without rows. No fragment holds rows from both sides of it: a delete concerns those before.
        """
        taken, total = 0, 0
        for entry in self.entries:
            total += entry.bytes
            if taken and total > bytes_max:
                break
            taken += 1
            if entry.record.batch.num_rows == 0:
                break
        return self.entries[:taken]

    def fields(self) -> Mapping[str, frozenset[FieldType]]:
        """Fields of the buffered batches. Only batches that came since the last call are looked at.

        Fields of batches that were published meanwhile may still be among them; the catalog knows those for ever anyway.
        """
        for entry in self.entries:
            if entry.sequence > self._fields_upto:
                self._fields_upto = entry.sequence
                for path, types in fields_of(entry.record.batch).items():
                    self._fields[path] = self._fields.get(path, frozenset()) | types
        return self._fields

    def drop(self, upto: int) -> int:
        """Forget entries up to a sequence that the catalog has now; the bytes that were freed."""
        kept = [entry for entry in self.entries if entry.sequence > upto]
        freed = self.bytes - sum(entry.bytes for entry in kept)
        self.entries, self.bytes, self.published = kept, self.bytes - freed, upto
        self.failures, self.retry_at_s = 0, 0.0
        if not kept:
            self._fields = {}
        return freed


class Buffers:
    """All buffers of a writer, and how many bytes they hold together."""

    def __init__(self) -> None:
        self.bytes = 0
        self._by_key: dict[tuple[int, str, str], Buffer] = {}
        self._by_table: dict[str, dict[str, list[Buffer]]] = {}

    def get(self, partition: int, tenant: str, table: str, published: int) -> Buffer:
        """The buffer of a table in a partition; a new one begins after `published`."""
        key = (partition, tenant, table)
        if key not in self._by_key:
            self._by_key[key] = Buffer(partition, tenant, table, published)
            self._by_table.setdefault(tenant, {}).setdefault(table, []).append(self._by_key[key])
        return self._by_key[key]

    def add(self, buffer: Buffer, record: Record, now_s: float) -> bool:
        """Append a record, unless it is buffered or published already; whether it was appended."""
        last = buffer.entries[-1].sequence if buffer.entries else buffer.published
        if record.position.sequence <= last:
            return False
        size = record.batch.get_total_buffer_size() + _COLUMN_OVERHEAD_BYTES * record.batch.num_columns
        buffer.entries.append(Entry(record, size, now_s))
        buffer.bytes += size
        self.bytes += size
        return True

    def drop(self, buffer: Buffer, upto: int) -> None:
        """Forget records that are published."""
        self.bytes -= buffer.drop(upto)

    def clear(self, partition: int) -> None:
        """Forget a whole partition; its journal will be read again."""
        for key in [key for key in self._by_key if key[0] == partition]:
            buffer = self._by_key.pop(key)
            self.bytes -= buffer.bytes
            self._by_table[buffer.tenant][buffer.table].remove(buffer)
            buffer.entries, buffer.bytes = [], 0  # a flush that still runs finds nothing to drop

    def filled(self, partition: int | None = None) -> Iterator[Buffer]:
        """Buffers with something in them."""
        for buffer in self._by_key.values():
            if buffer.entries and partition in (None, buffer.partition):
                yield buffer

    def of_table(self, tenant: str, table: str) -> Sequence[Buffer]:
        """The buffers of one table, one per partition at most."""
        return self._by_table.get(tenant, {}).get(table, ())

    def of_tenant(self, tenant: str) -> Mapping[str, Sequence[Buffer]]:
        """The buffers of a tenant by table."""
        return self._by_table.get(tenant, {})
