"""What the values of a table's fields are: how many have each, how many distinct ones, the most frequent, the spread of numbers."""

import asyncio
from typing import Any

from pulka.model.windows import TimeRange
from pulka.query.names import quote
from pulka.query.questions.answers import Asked, quoted
from pulka.query.questions.compare import summarize
from pulka.query.questions.selection import Selection
from pulka.seams import Engine, Limits, QueryStats

__all__ = ["statistics", "values"]

_QUANTILES = ("p50", "p90", "p95", "p99")


async def statistics(
    engine: Engine, table: str, chosen: Selection, tenant: str, limits: Limits, memory_bytes: int, values_max: int
) -> tuple[dict[str, dict[str, Any]], int, QueryStats]:  # fmt: skip
    """By field, and the events they are of. Ids are not counted."""
    nothing = Selection("FALSE", chosen.window)
    summary, stats = await summarize(engine, table, (chosen, nothing), tenant, limits, memory_bytes)
    found = await asyncio.to_thread(summary.describe, values_max)
    return {one.field: _described(one) for one in found}, summary.rows[0], stats


def _described(one: Any) -> dict[str, Any]:
    top = [{"value": value.value, "count": value.counts[0]} for value in one.values if value.value is not None and value.counts[0]]
    return {"present": one.present[0], "distinct": one.distinct, "top": top, "exact": one.exact, "numbers": _numbers(one.numbers)}


def _numbers(one: Any) -> dict[str, Any] | None:
    if one is None:
        return None
    quantiles = dict(zip(_QUANTILES, one.quantiles[0] or (None,) * 4, strict=True))
    return {"count": one.counts[0], "min": one.min, "max": one.max, "mean": one.means[0], **quantiles}


async def values(asked: Asked, table: str, field: str, beginning: str, where: str, window: TimeRange, limit: int) -> list[dict[str, Any]]:
    """The most frequent values of a field, those that begin with `beginning`, as text with counts."""
    text = f"CAST({quote(field)} AS VARCHAR)"
    condition = f"{Selection(where, window).sql()} AND {quote(field)} IS NOT NULL"
    if beginning:
        condition += f" AND starts_with({text}, {quoted(beginning)})"
    sql = f"SELECT {text} AS value, count(*) AS count FROM {quote(table)} WHERE {condition} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {limit}"  # noqa: S608
    return await asked.rows(sql)
