"""A catalog and a writer's buffer in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import pyarrow as pa

from pulka.errors import Conflict
from pulka.model.fields import FieldType, columns_of
from pulka.model.rules import Delete, Hold, Retention, Rules
from pulka.model.windows import TimeRange
from pulka.seams import Amendment, DedupKey, Fragment, Position, Publication, Snapshot, TableInfo, Usage

__all__ = ["MemoryCatalog", "MemoryFresh"]

Rule = TypeVar("Rule", Retention, Delete, Hold)


class MemoryCatalog:
    """`pulka.seams.Catalog` in dictionaries; times of retirement are the fragments' creation times."""

    def __init__(self) -> None:
        self._live: dict[str, Fragment] = {}
        self._retired: dict[str, Fragment] = {}
        self._positions: dict[tuple[int, str, str], int] = {}
        self._dedup: list[DedupKey] = []
        self._fields: dict[tuple[str, str], dict[str, frozenset[FieldType]]] = {}
        self._rules: dict[str, Retention | Delete | Hold] = {}

    async def publish(self, change: Publication) -> None:
        """Apply all of `change`, or raise Conflict and apply nothing."""
        moved = any(self._positions.get(at, 0) != expected for at, (expected, _) in change.positions.items())
        if moved or any(key not in self._live for key in change.retire):
            raise Conflict("another publication came first")
        if any(fragment.id not in self._live or fragment.id in change.retire for fragment in change.mark):
            raise Conflict("a fragment to mark is gone")
        self._check_removal(change)
        for key in change.retire:
            self._retired[key] = self._live.pop(key)
        for fragment in change.add:
            self._live[fragment.id] = self._marked(fragment, change)
            self._note_fields(fragment)
        for fragment in change.mark:
            self._live[fragment.id] = replace(self._live[fragment.id], deleted_upto=fragment.deleted_upto, swept=fragment.swept)
        for key, rows in change.removed.items():
            if isinstance(wanted := self._rules.get(key), Delete):
                self._rules[key] = replace(wanted, rows_removed=wanted.rows_removed + rows)
        self._positions |= {at: new for at, (_, new) in change.positions.items()}
        self._dedup += change.dedup

    def _check_removal(self, change: Publication) -> None:
        gone = [self._live[key] for key in change.retire]
        for hold in self._kind(Hold) if change.removed else ():
            if any(_of(hold, one) and hold.window.overlaps(one.min_ns, one.max_ns) for one in gone):
                raise Conflict("rows to remove are held")
        for wanted in self._kind(Delete):
            own = [one for one in gone if _of(wanted, one)]
            concerned = own and wanted.window.overlaps(min(one.min_ns for one in own), max(one.max_ns for one in own))
            sides = {wanted.number > one.deleted_upto for one in (*own, *change.add)}
            if concerned and change.add and wanted.done_ns is None and wanted.id not in change.removed and len(sides) > 1:
                raise Conflict("fragments with and without rows of a pending delete")

    def _marked(self, fragment: Fragment, change: Publication) -> Fragment:
        starts = {p: start for (p, *owner), (start, _) in change.positions.items() if owner == [fragment.tenant, fragment.table]}
        number = 0
        for wanted in sorted((one for one in self._kind(Delete) if _of(one, fragment)), key=lambda one: one.number):
            if not starts or any(wanted.positions.get(p, 0) > start for p, start in starts.items()):
                break
            number = wanted.number
        return replace(fragment, deleted_upto=max(number, fragment.deleted_upto))

    def _kind(self, kind: type[Rule]) -> list[Rule]:
        return [rule for rule in self._rules.values() if isinstance(rule, kind)]

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
        rules = await self.rules(tenant)
        deletes = tuple(one for one in rules.deletes if one.table == table and one.done_ns is None)
        return Snapshot(kept, positions, len(own) - len(kept), deletes, rules.retention)

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

    async def usage(self, tenant: str | None = None) -> Sequence[Usage]:
        """Sums per table."""
        all_ = [one for one in (*self._live.values(), *self._retired.values()) if tenant in (None, one.tenant)]
        return [self._usage(*owner) for owner in sorted({(one.tenant, one.table) for one in all_})]

    def _usage(self, tenant: str, table: str) -> Usage:
        live = [one for one in self._live.values() if (one.tenant, one.table) == (tenant, table)]
        gone = [one for one in self._retired.values() if (one.tenant, one.table) == (tenant, table)]
        rows, stored, raw = (sum(getattr(one, name) for one in live) for name in ("rows", "bytes", "raw_bytes"))
        return Usage(tenant, table, len(live), rows, stored, raw, len(gone), sum(one.bytes for one in gone))

    async def rules(self, tenant: str | None = None, *, done: bool = True) -> Rules:
        """All rules, with the progress of deletes."""
        own = [rule for rule in self._rules.values() if tenant in (None, rule.tenant)]
        deletes = tuple(self._with_progress(one) for one in own if isinstance(one, Delete) and (done or one.done_ns is None))
        retention = tuple(one for one in own if isinstance(one, Retention))
        return Rules(retention, deletes, tuple(one for one in own if isinstance(one, Hold)))

    def _with_progress(self, wanted: Delete) -> Delete:
        stored = [one for one in (*self._live.values(), *self._retired.values()) if _of(wanted, one)]
        left = sum(wanted.concerns(one.deleted_upto, one.min_ns, one.max_ns) for one in stored)
        published = all(self._positions.get((p, wanted.tenant, wanted.table), 0) >= n for p, n in wanted.positions.items())
        return wanted if wanted.done_ns is not None else replace(wanted, fragments_left=left, is_published=published)

    async def amend(self, change: Amendment) -> None:
        """Change the rules, or raise Conflict and change nothing."""
        rules = dict(self._rules)
        for key in change.remove:
            rules.pop(key, None)
        for key in change.finish:
            if isinstance(done := rules[key], Delete):
                rules[key] = replace(done, done_ns=1, condition=None, positions={})
        for rule in change.put:
            if isinstance(rule, Retention):
                rules = {key: one for key, one in rules.items() if not _same_rows(one, rule)}
            rules[rule.id] = self._numbered(rule) if isinstance(rule, Delete) else rule
        self._rules = rules

    def _numbered(self, rule: Delete) -> Delete:
        others = [one for one in self._kind(Delete) if (one.tenant, one.table) == (rule.tenant, rule.table)]
        for partition, sequence in rule.positions.items():
            reached = [self._positions.get((partition, rule.tenant, rule.table), 0)]
            reached += [one.positions.get(partition, 0) for one in others]
            if max(reached) > sequence:
                raise Conflict("events behind the positions of a delete are published already")
        return replace(rule, number=1 + max((one.number for one in others), default=0))

    async def close(self) -> None:
        """Nothing to close."""


def _of(rule: Delete | Hold, fragment: Fragment) -> bool:
    return (rule.tenant, rule.table) == (fragment.tenant, fragment.table)


def _same_rows(one: Retention | Delete | Hold, other: Retention) -> bool:
    return isinstance(one, Retention) and (one.tenant, one.table, one.condition) == (other.tenant, other.table, other.condition)


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
