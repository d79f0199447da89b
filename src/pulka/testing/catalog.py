"""A catalog and a writer's buffer in memory."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from pulka.errors import Conflict
from pulka.model.fields import FieldType, columns_of
from pulka.model.windows import TimeRange
from pulka.seams import DedupKey, Fragment, Position, Publication, Snapshot, TableInfo

__all__ = ["MemoryCatalog", "MemoryFresh"]


class MemoryCatalog:
    """`pulka.seams.Catalog` in dictionaries; times of retirement are the fragments' creation times."""

    def __init__(self) -> None:
        self._live: dict[str, Fragment] = {}
        self._retired: dict[str, Fragment] = {}
        self._positions: dict[tuple[int, str, str], int] = {}
        self._dedup: list[DedupKey] = []
        self._fields: dict[tuple[str, str], dict[str, frozenset[FieldType]]] = {}

    async def publish(self, change: Publication) -> None:
        """Apply all of `change`, or raise Conflict and apply nothing."""
        moved = any(self._positions.get(at, 0) != expected for at, (expected, _) in change.positions.items())
        if moved or any(key not in self._live for key in change.retire):
            raise Conflict("another publication came first")
        for key in change.retire:
            self._retired[key] = self._live.pop(key)
        for fragment in change.add:
            self._live[fragment.id] = fragment
            self._note_fields(fragment)
        self._positions |= {at: new for at, (_, new) in change.positions.items()}
        self._dedup += change.dedup

    def _note_fields(self, fragment: Fragment) -> None:
        fields = self._fields.setdefault((fragment.tenant, fragment.table), {})
        for stats in fragment.columns:
            fields[stats.column.path] = fields.get(stats.column.path, frozenset()) | {stats.column.type}
        for path, types in fragment.residual.items():
            fields[path] = fields.get(path, frozenset()) | types

    async def snapshot(self, tenant: str, table: str, window: TimeRange) -> Snapshot:
        """The fragments that overlap `window` and the positions they contain."""
        own = await self.fragments(tenant, table)
        kept = tuple(one for one in own if window.overlaps(one.min_ns, one.max_ns))
        positions = {p: n for (p, *owner), n in self._positions.items() if owner == [tenant, table]}
        return Snapshot(kept, positions, len(own) - len(kept))

    async def tables(self, tenant: str) -> Mapping[str, TableInfo]:
        """The tables of `tenant` that anything was published to."""
        return {name: self._info(tenant, name) for owner, name in self._fields if owner == tenant}

    def _info(self, tenant: str, table: str) -> TableInfo:
        own = [one for one in self._live.values() if (one.tenant, one.table) == (tenant, table)]
        return TableInfo(
            table,
            dict(self._fields[tenant, table]),
            fragments=len(own),
            rows=sum(one.rows for one in own),
            bytes=sum(one.bytes for one in own),
            raw_bytes=sum(one.raw_bytes for one in own),
            min_ns=min((one.min_ns for one in own), default=None),
            max_ns=max((one.max_ns for one in own), default=None),
        )

    async def tenants(self) -> Sequence[str]:
        """All tenants, by name."""
        return sorted({tenant for tenant, _ in self._fields})

    async def positions(self, partition: int) -> Mapping[tuple[str, str], int]:
        """How far `partition` is published, by tenant and table."""
        return {(tenant, table): n for (p, tenant, table), n in self._positions.items() if p == partition}

    async def dedup(self, since_ns: int) -> Sequence[DedupKey]:
        """The keys that expire after `since_ns`."""
        return [key for key in self._dedup if key.expires_ns > since_ns]

    async def fragments(self, tenant: str | None = None, table: str | None = None) -> Sequence[Fragment]:
        """Live fragments, of one tenant or table where named."""
        return [one for one in self._live.values() if tenant in (None, one.tenant) and table in (None, one.table)]

    async def retired(self, before_ns: int) -> Sequence[str]:
        """Object keys of retired fragments created before `before_ns`."""
        return [one.key for one in self._retired.values() if one.created_ns < before_ns]

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop retired fragments by object key."""
        self._retired = {key: one for key, one in self._retired.items() if one.key not in keys}

    async def close(self) -> None:
        """Nothing to close."""


class MemoryFresh:
    """`pulka.seams.Fresh` over a list; fields in a residual column are named by `add`."""

    def __init__(self) -> None:
        self._batches: dict[tuple[str, str], list[tuple[Position, pa.RecordBatch]]] = {}
        self._residual: dict[tuple[str, str], dict[str, frozenset[FieldType]]] = {}

    def add(
        self,
        tenant: str,
        table: str,
        position: Position,
        batch: pa.RecordBatch,
        residual: Mapping[str, frozenset[FieldType]] | None = None,
    ) -> None:
        """Make `batch` visible."""
        self._batches.setdefault((tenant, table), []).append((position, batch))
        self._residual.setdefault((tenant, table), {}).update(residual or {})

    def fresh(self, tenant: str, table: str) -> Sequence[tuple[Position, pa.RecordBatch]]:
        """The batches of a table, in order."""
        return list(self._batches.get((tenant, table), []))

    def fresh_fields(self, tenant: str) -> Mapping[str, Mapping[str, frozenset[FieldType]]]:
        """The fields of every table of `tenant`."""
        return {table: self._table_fields(tenant, table) for owner, table in self._batches if owner == tenant}

    def _table_fields(self, tenant: str, table: str) -> dict[str, frozenset[FieldType]]:
        fields = dict(self._residual[tenant, table])
        for _, batch in self._batches[tenant, table]:
            for column in columns_of(batch.schema):
                fields[column.path] = fields.get(column.path, frozenset()) | {column.type}
        return fields
