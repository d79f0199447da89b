"""The question of a monitor, asked for one window: values per group."""

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pulka.errors import BadQuery, NotFound
from pulka.model.windows import TimeRange
from pulka.monitors.definition import Monitor
from pulka.monitors.evaluate import Answer, changes
from pulka.query.messages import near
from pulka.query.names import quote
from pulka.query.schema import LogicalTable, logical_tables
from pulka.query.search import parse
from pulka.query.search.fields import column, resolve
from pulka.query.search.nodes import Everything, Field
from pulka.query.search.sql import condition
from pulka.seams import Catalog, Engine, Fresh, Limits

if TYPE_CHECKING:
    from pulka.monitors.definitions import Definitions

__all__ = ["Asker"]

_SECOND_NS = 1_000_000_000
_ROWS_PER_GROUP = 10
"""An answer may have more groups than are kept, so that the kept ones are among them."""


class Asker:
    """Asks. Everything in a question but its window is in the definition."""

    def __init__(self, engine: Engine, catalog: Catalog, fresh: Fresh, definitions: "Definitions") -> None:
        self._engine, self._catalog, self._fresh, self._definitions = engine, catalog, fresh, definitions

    async def answer(self, tenant: str, monitor: Monitor, moment_ns: int) -> Answer:
        """The values of the window that ends at a moment; of a change monitor, how they differ from the earlier window's."""
        now = await self._window(tenant, monitor, moment_ns)
        if monitor.change is None:
            return now
        before = await self._window(tenant, monitor, moment_ns - monitor.change_ago_s * _SECOND_NS)
        return changes(now, before, monitor.change)

    async def _window(self, tenant: str, monitor: Monitor, end_ns: int) -> Answer:
        asked = monitor
        if monitor.saved is not None:
            saved = await self._definitions.saved_query(tenant, monitor.saved)
            asked = msgspec.structs.replace(monitor, sql=saved.sql, search=saved.search, table=saved.table)
        sql = asked.sql
        if sql is None:
            sql = await self._count(tenant, asked, end_ns)
        window = TimeRange(end_ns - monitor.window_s * _SECOND_NS, end_ns)
        rows = self._definitions.limits.groups_max * _ROWS_PER_GROUP
        result = await self._engine.run(sql, tenant, window, Limits(rows=rows))
        table = pa.Table.from_batches([batch async for batch in result.batches], result.schema)
        return Answer(_values(table, asked), None if asked.sql is not None else 0.0)

    async def _count(self, tenant: str, monitor: Monitor, now_ns: int) -> str:
        """How many events a search finds, per group. Relative times in it count from the end of the window."""
        table = await self._table(tenant, monitor.table)
        node = parse(monitor.search or "")
        where = "" if isinstance(node, Everything) else f" WHERE {condition(node, table, now_ns)}"
        names = [column(resolve(Field(name), table), table) for name in monitor.by]
        shown = "".join(f", {name} AS {quote(path)}" for name, path in zip(names, monitor.by, strict=True))
        groups = f" GROUP BY {', '.join(names)}" if names else ""
        return f"SELECT count(*) AS value{shown} FROM {quote(table.name)}{where}{groups}"  # noqa: S608 - built from a tree

    async def _table(self, tenant: str, name: str) -> LogicalTable:
        fresh = self._fresh.fresh_fields(tenant)
        known = logical_tables(await self._catalog.tables(tenant), fresh)
        if name not in known:
            raise NotFound(f"there is no table `{name[:80]}`", hint=near(name[:80], known, "your tables"))
        return known[name]


def _values(table: pa.Table, monitor: Monitor) -> dict[str, float | None]:
    """By the JSON array of the values of the group's columns."""
    for name in monitor.by:
        if name not in table.column_names:
            raise BadQuery(f"the answer has no column `{name[:80]}` to group by", hint=f"select it, as in SELECT {name[:80]}, count(*) AS value ...")
    if not monitor.by and table.num_rows > 1:
        raise BadQuery("the answer has several rows", hint="name the columns that tell them apart in `by`")
    numbers = _numbers(table, monitor).to_pylist()
    keys = zip(*(_texts(table.column(name)) for name in monitor.by), strict=True) if monitor.by else [()] * table.num_rows
    return {msgspec.json.encode(key).decode(): number for key, number in zip(keys, numbers, strict=True)}


def _numbers(table: pa.Table, monitor: Monitor) -> pa.ChunkedArray:
    rest = [name for name in table.column_names if name not in monitor.by]
    name = monitor.value if monitor.value in rest else rest[0] if len(rest) == 1 else ""
    if not name:
        raise BadQuery(f"the answer has no column `{monitor.value[:80]}`", hint="name the column with the number: SELECT count(*) AS value ...")
    try:
        return table.column(name).cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise BadQuery(f"the column `{name[:80]}` is not a number", hint="select a count, a sum, a percentile") from None


def _texts(values: pa.ChunkedArray) -> list[str | None]:
    if pa.types.is_timestamp(values.type):
        return list(pc.strftime(values).to_pylist())
    try:
        texts: list[str | None] = values.cast(pa.string()).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise BadQuery("groups are told apart by plain values, not by nested ones", hint="select a field of it, or cast it to text") from None
    return texts
