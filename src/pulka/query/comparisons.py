"""`compare('severity:error', 'severity:info')` in SQL: a table of how two selections differ, with a row for each value that tells them apart.

The comparison is made before the query is planned, in the query's own turn, and stands in it as a list of values.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pulka.errors import BadQuery, NotFound
from pulka.model.windows import TimeRange
from pulka.query.functions.literals import text
from pulka.query.functions.macros import find_call
from pulka.query.messages import near
from pulka.query.names import check_select
from pulka.query.query import Query
from pulka.query.questions.compare import Comparison, compare
from pulka.query.questions.selection import Selection
from pulka.query.reading import Reading
from pulka.query.scan import scan
from pulka.query.schema import LogicalTable
from pulka.query.search.literals import quoted
from pulka.query.search.parser import parse
from pulka.query.search.sql import condition
from pulka.seams import Limits, QueryStats, Scanned

__all__ = ["with_comparisons"]

_USAGE = "compare('severity:error', 'severity:info', 'logs')"
_CALLS_MAX = 4
_FIELDS_MAX = 50
_VALUES_MAX = 5
_VALUE_CHARS_MAX = 200
_COLUMNS = ("field", "effect", "value", "selection", "baseline", "difference")
_EMPTY = ("CAST('' AS VARCHAR)", "0.0", "CAST('' AS VARCHAR)", "0", "0", "0.0")


async def with_comparisons(query: Query, reading: Reading, sql: str) -> str:
    """`sql` with the answers in place of the calls. BadQuery says how they are used."""
    for _ in range(_CALLS_MAX):
        call = find_call(sql, "compare")
        if call is None:
            return sql
        given, start, end = call
        check_select(sql)  # nothing is compared for anything else
        sql = f"{sql[:start]}{_as_table(await _compared(query, reading, given))}{sql[end:]}"
    if find_call(sql, "compare") is not None:
        raise BadQuery(f"a query has at most {_CALLS_MAX} comparisons", hint="ask them one by one")
    return sql


async def _compared(query: Query, reading: Reading, given: Sequence[str]) -> Sequence[dict[str, Any]]:
    if not 1 <= len(given) <= 3:
        raise BadQuery("compare takes a search, another one or NULL to compare it with, and a table", hint=f"as in {_USAGE}")
    name = text(given[2], _USAGE) if len(given) == 3 else "logs"
    tables = await reading.look_up(query)
    if name not in tables:
        raise NotFound(f"there is no table `{name[:80]}`", hint=near(name[:80], tables, "your tables"))
    chosen = _selection(given[0], tables[name], query)
    others = chosen.others(query.window) if len(given) == 1 or given[1].upper() == "NULL" else _selection(given[1], tables[name], query)
    asked = Comparison(name, chosen, others, limit=_FIELDS_MAX, values=_VALUES_MAX)
    own = replace(query, stats=QueryStats(query.stats.id))
    try:
        found = await compare(_Scanning(own, reading), asked, query.tenant, Limits(), query.bounds.memory_bytes // 4)
    finally:
        await own.end_apart()
    query.stats = replace(own.stats, rows=0, time_ms={**query.stats.time_ms, **own.stats.time_ms})
    fields: Sequence[dict[str, Any]] = found["fields"]
    return fields


def _selection(given: str, table: LogicalTable, query: Query) -> Selection:
    return Selection(condition(parse(text(given, _USAGE)), table, query.clock.now_ns()), query.window)


@dataclass(frozen=True, slots=True)
class _Scanning:
    """As much of an engine as a comparison needs; it goes on in the turn and within the bounds of the query."""

    query: Query
    reading: Reading

    def scan(self, table: str, conditions: Sequence[str], tenant: str, window: TimeRange, limits: Limits, stats: QueryStats) -> AsyncGenerator[Scanned, None]:
        return scan(self.query, self.reading, table, conditions)


def _as_table(fields: Sequence[dict[str, Any]]) -> str:
    rows = [f"({', '.join(_row(field, value))})" for field in fields for value in field["values"]]
    columns = ", ".join(f"column{number} AS {name}" for number, name in enumerate(_COLUMNS, 1))
    values = ", ".join(rows) or f"({', '.join(_EMPTY)})"
    return f"(SELECT {columns} FROM (VALUES {values}){'' if rows else ' WHERE FALSE'})"  # noqa: S608 - every literal is quoted


def _row(field: dict[str, Any], value: dict[str, Any]) -> tuple[str, ...]:
    shown = "CAST(NULL AS VARCHAR)" if value["value"] is None else quoted(str(value["value"])[:_VALUE_CHARS_MAX])
    counts = (str(value["counts"][side]) for side in ("selection", "baseline"))
    return quoted(field["field"]), repr(float(field["effect"])), shown, *counts, repr(float(value["difference"]))
