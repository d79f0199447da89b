"""A search as the whole statement that answers it."""

from collections.abc import Sequence
from typing import Literal

from pulka.query.names import quote
from pulka.query.schema import WELL_KNOWN, LogicalTable
from pulka.query.search.fields import column, resolve
from pulka.query.search.nodes import Everything, Field
from pulka.query.search.parser import parse
from pulka.query.search.sql import condition

__all__ = ["Order", "to_sql"]

Order = Literal["newest", "oldest", "any"]
_ORDERS: dict[Order, str] = {"newest": " ORDER BY timestamp DESC", "oldest": " ORDER BY timestamp", "any": ""}


def to_sql(
    text: str, table: LogicalTable, *, columns: Sequence[str] = (), order: Order = "newest", limit: int | None = None, now_ns: int | None = None
) -> str:
    """The SELECT that finds what the search `text` says: all columns unless some are named, newest events first.

    `now_ns` (ns since 1970 UTC) is what `now-15m` counts from. BadQuery names the column of what is wrong.
    """
    node = parse(text)
    where = "" if isinstance(node, Everything) else f" WHERE {condition(node, table, now_ns)}"
    shown = ", ".join(column(resolve(Field(name), table), table) for name in columns) or "*"
    rows = "" if limit is None else f" LIMIT {limit}"
    name = table.name if table.name in WELL_KNOWN else quote(table.name)  # any other may be a word of SQL
    return f"SELECT {shown} FROM {name}{where}{_ORDERS[order]}{rows}"  # noqa: S608 - built from a tree; values are quoted literals
