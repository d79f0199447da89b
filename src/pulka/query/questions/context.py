"""The events around a moment: what else was logged just before and after."""

from typing import Any

from pulka.model.windows import TimeRange
from pulka.query.names import quote
from pulka.query.questions.answers import Asked
from pulka.query.questions.selection import Selection

__all__ = ["context"]

_REACHES_NS = (60_000_000_000, 3_600_000_000_000, 86_400_000_000_000, None)
"""How far to look at first, and then: most often a minute has enough, and reading it is cheap."""


async def context(asked: Asked, table: str, at_ns: int, where: str, before: int, after: int) -> dict[str, Any]:
    """Events of which `where` is true, oldest first: `before` of them earlier than the moment, `after` at it or later."""
    earlier = await _side(asked, table, at_ns, where, before, back=True)
    later = await _side(asked, table, at_ns, where, after, back=False)
    return {"table": table, "before": earlier[::-1], "after": later, "stats": asked.stats}


async def _side(asked: Asked, table: str, at_ns: int, where: str, count: int, *, back: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for reach in _REACHES_NS if count else ():
        far = None if reach is None else at_ns + (-reach if back else reach)
        window = TimeRange(far, at_ns) if back else TimeRange(at_ns, far)
        condition = Selection(where, window).sql()
        order = "DESC" if back else "ASC"
        sql = f"SELECT * FROM {quote(table)} WHERE {condition} ORDER BY timestamp {order} LIMIT {count}"  # noqa: S608 - the reader's own condition
        rows = await asked.rows(sql, window, rows_max=count)
        if len(rows) >= count:
            break
    return [{name: value for name, value in row.items() if value is not None} for row in rows]
