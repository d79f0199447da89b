"""Which rows of batches that just came a live tail shows: the engine is asked about those batches and nothing else.

So a filter means exactly what it means in a query: types, deletes and retention included.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from pulka.errors import NotFound
from pulka.model.batches import fields_of
from pulka.model.fields import FieldType
from pulka.model.windows import TimeRange
from pulka.query.conditions import Conditions
from pulka.query.messages import near
from pulka.query.names import quote
from pulka.query.schema import LogicalTable, logical_tables
from pulka.query.search import to_sql
from pulka.seams import Catalog, Clock, Engine, Fresh, Limits, Position, Snapshot, TableInfo

__all__ = ["Batches", "EngineOver", "Filter", "Filters"]

Batches = Sequence[tuple[Position, pa.RecordBatch]]
EngineOver = Callable[["Only", "Only"], Engine]
"""An engine over a catalog and fresh batches of its own."""

_Fields = Mapping[str, frozenset[FieldType]]
_KNOWN_S = 2.0
"""How long the types of a table's fields are believed; those of the batches at hand are looked at each time."""
_NOTHING = TimeRange(0, 0)


@dataclass(slots=True)
class Only:
    """As much of a `Catalog` and `Fresh` as an engine reads. It knows some batches of one table; deletes and policies are those of the real catalog."""

    catalog: Catalog
    table: str
    batches: Batches
    fields: _Fields

    async def tables(self, tenant: str) -> Mapping[str, TableInfo]:
        """The one table, with the fields that matter here."""
        return {self.table: TableInfo(self.table, self.fields)}

    async def snapshot(self, tenant: str, table: str, window: TimeRange) -> Snapshot:
        """What is deleted or expires; no fragments."""
        found = await self.catalog.snapshot(tenant, table, _NOTHING)
        return replace(found, fragments=(), positions={}, pruned_by_time=0)

    def fresh(self, tenant: str, table: str) -> Batches:
        """The batches."""
        return self.batches if table == self.table else ()

    def fresh_fields(self, tenant: str) -> Mapping[str, _Fields]:
        """`tables` has said it."""
        return {}


@dataclass(frozen=True, slots=True)
class Filters:
    """Makes filters."""

    catalog: Catalog
    fresh: Fresh
    conditions: Conditions
    engine_over: EngineOver
    clock: Clock

    async def make(self, tenant: str, table: str, *, where: str | None = None, search: str | None = None) -> "Filter":
        """A filter by a SQL condition or a search; all rows when neither is given. NotFound, BadQuery."""
        condition = "" if where is None else (await self.conditions.bind(tenant, table, where)).sql
        made = Filter(self, tenant, table, condition, search)
        await made.refresh()
        return made


@dataclass(slots=True)
class Filter:
    """One tail's filter. `sql` is the query it means."""

    parts: Filters
    tenant: str
    table: str
    where: str
    search: str | None
    sql: str = ""
    _known: LogicalTable = field(default_factory=lambda: LogicalTable("", {}))
    _known_s: float = 0.0

    async def rows(self, batches: Batches) -> AsyncIterator[pa.RecordBatch]:
        """The rows of the batches that it is true of, by time."""
        own = await asyncio.to_thread(_fields, batches)
        if self._is_news(own) or self.parts.clock.monotonic_s() - self._known_s > _KNOWN_S:
            await self.refresh()
        fields = self._with_known(own)
        only = Only(self.parts.catalog, self.table, batches, fields)
        result = await self.parts.engine_over(only, only).run(self.sql, self.tenant, TimeRange(), Limits())
        async for batch in result.batches:
            yield batch

    async def refresh(self) -> None:
        """Look up the fields of the table anew: a type that came since may change what a search means."""
        fresh = self.parts.fresh.fresh_fields(self.tenant)  # before the catalog: what is published in between is then in both
        known = logical_tables(await self.parts.catalog.tables(self.tenant), fresh)
        if self.table not in known:
            raise NotFound(f"there is no table `{self.table[:80]}`", hint=near(self.table[:80], known, "your tables"))
        if known[self.table] != self._known:
            self._known = known[self.table]
            self.sql = await asyncio.to_thread(self._translated)
        self._known_s = self.parts.clock.monotonic_s()

    def _translated(self) -> str:
        if self.search is not None:
            return to_sql(self.search, self._known, order="oldest", now_ns=self.parts.clock.now_ns())
        where = f" WHERE ({self.where}\n)" if self.where else ""
        return f"SELECT * FROM {quote(self.table)}{where} ORDER BY timestamp"  # noqa: S608 - bound before

    def _is_news(self, fields: _Fields) -> bool:
        """Whether a field has a type that it was not known to have."""
        known = self._known.fields
        return any(path not in known or not types <= known[path].seen for path, types in fields.items())

    def _with_known(self, own: _Fields) -> dict[str, frozenset[FieldType]]:
        """The fields of the batches and of the filter, with every type they were ever seen with; all others would be null."""
        found = dict(own)
        for path, known in self._known.fields.items():
            if path in found or path.replace('"', '""') in self.sql:
                found[path] = found.get(path, frozenset()) | known.seen
        return found


def _fields(batches: Batches) -> dict[str, frozenset[FieldType]]:
    found: dict[str, frozenset[FieldType]] = {}
    for _, batch in batches:
        for path, types in fields_of(batch).items():
            found[path] = found.get(path, frozenset()) | types
    return found
