"""How two selections differ: every field, ranked by how far apart its values are. One pass, bounded memory.

What Honeycomb calls BubbleUp and Axiom Spotlight. The mathematics is in `crates/pulka-core/src/summary/effect.rs`.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from pulka.model.tables import table as definition
from pulka.model.windows import TimeRange
from pulka.query.questions.selection import Selection
from pulka.seams import Limits, QueryStats, Scanned

__all__ = ["Comparison", "compare", "hull", "summarize"]

_GROUPS_MAX = 256
_SIDES = ("selection", "baseline")
_QUANTILES = ("p50", "p90", "p95", "p99")
_MASKED = ("message",)
_IDS = ("parent_span_id",)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What to compare. `by`: also within each value of this field, say each service with itself."""

    table: str
    selection: Selection
    baseline: Selection
    by: str | None = None
    skip: Sequence[str] = ()
    limit: int = 20
    values: int = 10


class Scans(Protocol):
    """As much of an `Engine` as a comparison needs."""

    def scan(self, table: str, conditions: Sequence[str], tenant: str, window: TimeRange, limits: Limits, stats: QueryStats) -> AsyncGenerator[Scanned, None]:
        """`pulka.seams.Engine.scan`."""
        ...


async def compare(engine: Scans, asked: Comparison, tenant: str, limits: Limits, memory_bytes: int) -> dict[str, Any]:
    """Fields that differ, the largest effect first; `memory_bytes` bounds what is remembered of their values."""
    summary, stats = await summarize(engine, asked.table, (asked.selection, asked.baseline), tenant, limits, memory_bytes, asked.by, asked.skip)
    found = await asyncio.to_thread(summary.compare, asked.limit, asked.values)
    return {
        "table": asked.table,
        "by": asked.by,
        "rows": dict(zip(_SIDES, summary.rows, strict=True)),
        "fields": [_finding(one) for one in found],
        "values_left_out": summary.left_out,
        "stats": stats,
    }


async def summarize(
    engine: Scans, table: str, sides: tuple[Selection, Selection], tenant: str, limits: Limits, memory_bytes: int,
    by: str | None = None, skip: Sequence[str] = (),
) -> tuple[Any, QueryStats]:  # fmt: skip
    """The values of every field on both sides, and what reading them took. Ids of events and traces are left out."""
    from pulka._native import Summary  # only these questions need the native part

    summary = Summary(bytes_max=memory_bytes, by=by, groups_max=_GROUPS_MAX, skip=[*definition(table).bloom, *_IDS, *skip], masked=_MASKED)
    stats = QueryStats()
    window = hull([side.window for side in sides])
    async with aclosing(engine.scan(table, [side.sql() for side in sides], tenant, window, limits, stats)) as scanned:
        async for one in scanned:
            columns = [(column.name, column.path, column.type) for column in one.columns]
            await asyncio.to_thread(summary.add, one.batch, columns, one.residual, one.flags)
    return summary, stats


def hull(windows: Sequence[TimeRange]) -> TimeRange:
    """The least window that holds all of them."""
    starts, ends = [one.start_ns for one in windows], [one.end_ns for one in windows]
    start = None if None in starts else min(starts)  # type: ignore[type-var]
    return TimeRange(start, None if None in ends else max(ends))  # type: ignore[type-var]


def _finding(one: Any) -> dict[str, Any]:
    return {
        "field": one.field,
        "group": one.group,
        "effect": round(one.effect, 4),
        "kind": "numbers" if one.by_numbers else "values",
        "types": one.types,
        "rows": dict(zip(_SIDES, one.rows, strict=True)),
        "present": dict(zip(_SIDES, one.present, strict=True)),
        "values": [_value(value, one.rows) for value in one.values],
        "exact": one.exact,
        "numbers": _numbers(one.numbers),
    }


def _value(one: Any, rows: tuple[int, int]) -> dict[str, Any]:
    """A value that is null stands for the rows without the field."""
    shares = [count / total if total else 0.0 for count, total in zip(one.counts, rows, strict=True)]
    return {
        "value": one.value,
        "counts": dict(zip(_SIDES, one.counts, strict=True)),
        "shares": {side: round(share, 6) for side, share in zip(_SIDES, shares, strict=True)},
        "difference": round(one.difference, 4),
    }


def _numbers(one: Any) -> dict[str, Any] | None:
    if one is None:
        return None
    sides = {
        side: {"count": count, "mean": mean} | dict(zip(_QUANTILES, quantiles or (None,) * 4, strict=True))
        for side, count, mean, quantiles in zip(_SIDES, one.counts, one.means, one.quantiles, strict=True)
    }
    return {"min": one.min, "max": one.max, **sides, "distance": round(one.distance, 4), "follows_time": one.follows_time}
