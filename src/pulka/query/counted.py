"""Queries that only group and count: rows that count alike can be one row with a count (`crates/pulka-core/src/search/counts`).

In: a plan over empty tables. Out: the same query over rows with counts, and what makes rows count alike; None where that would not be the
same to the letter. Such a query is planned too before it is believed: what it aggregates must be what a count of rows is enough for.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from datafusion import Expr, SessionContext
from datafusion.plan import LogicalPlan

from pulka.model.tables import table as definition
from pulka.query.exact import Exact
from pulka.query.filters import literal_of, variant_of
from pulka.query.functions.macros import Macro, Surroundings, expand
from pulka.query.names import quote
from pulka.query.nodes import chain
from pulka.query.schema import LogicalTable
from pulka.query.session import read_only

__all__ = ["COUNTS", "EQUAL", "Alike", "Counted", "counted", "empty"]

COUNTS = "\x1frows"
"""The column that says for how many rows a row stands; no field has this name."""
Alike = tuple[str, Any]
"""What makes values count alike, as `pulka._native.Counts` takes it."""
EQUAL: Alike = ("equal", None)
ABOUT: Alike = ("about", None)
_UNITS_NS = {"second": 10**9, "minute": 60 * 10**9, "hour": 3600 * 10**9, "day": 86400 * 10**9}
_INTERVAL = re.compile(r"months: 0, days: 0, nanoseconds: (\d+) ")
_PERCENTILE = re.compile(rf"approx_percentile_cont_with_weight\(\w+\.(.+?), .*{COUNTS}.*, Float64\([\d.]+\)\)")
_EACH = re.compile(r"\bFILTER \(|\b(?:random|uuid)\(")
"""What asks something of each row: a filter of one aggregate, which would be lost on what stands for it, and a chance."""
_PLAIN = {"Projection", "Filter", "SubqueryAlias", "TableScan"}
_ABOVE = {"Projection", "Filter", "SubqueryAlias", "Sort", "Limit", "Aggregate"}
_INDIFFERENT = ("min(", "max(", "bool_and(", "bool_or(", "count(DISTINCT ", "approx_distinct(")
"""Aggregates that do not mind how often a value comes."""


@dataclass(frozen=True, slots=True)
class Counted:
    """`sql` asks the same of rows with counts. Of the `keys` the values count, or coarser things; the filter is `exact`."""

    sql: str
    keys: Mapping[str, Alike]
    exact: Exact


def counted(session: SessionContext, sql: str, plan: LogicalPlan, table: LogicalTable, columns: Iterable[str], exact: Exact) -> Counted | None:
    """`sql`, whose plan is `plan`, over rows of `table` with counts; it reads `columns`, and its filter is `exact`."""
    aggregate, below = _bottom(plan)
    if aggregate is None or _EACH.search("".join([plan.display_indent(), *_said(aggregate.aggregate_exprs())])):
        return None
    weighted = expand(sql, Surroundings(), _WEIGHED)
    session.deregister_table(table.name)
    session.register_record_batches(table.name, [[empty(table)]])
    try:
        again, _ = _bottom(read_only(session, weighted).optimized_logical_plan())
    except Exception:  # a count that is not of this table's rows
        return None
    groups, aggregates = aggregate.group_by_exprs(), again.aggregate_exprs() if again else []
    if again is None or _said(groups) != _said(again.group_by_exprs()) or not all(map(_is_enough, _said(aggregates))):
        return None
    needed = _needed(below, frozenset(columns)) | exact.open
    keys = {path: EQUAL if path in exact.open else _alike(path, [*groups, *aggregates], table) for path in needed}
    if groups and ABOUT in keys.values():
        return None  # a digest of each group costs as much with counts
    if any(alike == ABOUT and one.path == path and one.kind != "null" for path, alike in keys.items() for one in exact.tests):
        return None  # what stands for all that are about the same may fail a test that they pass
    return None if any(alike == EQUAL and _is_unique(path, table) for path, alike in keys.items()) else Counted(weighted, keys, exact)


def _is_unique(path: str, table: LogicalTable) -> bool:
    """Whether values are expected to differ from row to row: times, ids, measured numbers."""
    return table.fields[path].type in ("timestamp", "f64") or path in definition(table.name).bloom


def empty(table: LogicalTable) -> pa.RecordBatch:
    """The table without rows, as a counted query sees it."""
    return table.empty().append_column(COUNTS, pa.array([], pa.int64()))


def _bottom(plan: LogicalPlan) -> tuple[Any, list[Any]]:
    """The aggregation next to the one table that is read, and what lies between them; none in a plan of another kind."""
    nodes = chain(plan)
    kinds = [type(one).__name__ for one in nodes]
    at = max((number for number, kind in enumerate(kinds) if kind == "Aggregate"), default=None)
    if at is None or kinds[-1] != "TableScan" or plan.display_indent().count("TableScan:") != 1:
        return None, []
    plain = set(kinds[at + 1 :]) <= _PLAIN and set(kinds[:at]) <= _ABOVE and "Filter" not in kinds[at + 1 : -2]
    return (nodes[at], nodes[at + 1 :]) if plain else (None, [])


def _needed(below: list[Any], columns: frozenset[str]) -> frozenset[str]:
    """The columns that are used beyond the filter: what a projection leaves, if there is one and it only leaves out."""
    if type(below[0]).__name__ != "Projection" or not all(one.variant_name() == "Column" for one in below[0].projections()):
        return columns
    return frozenset(one.to_variant().name() for one in below[0].projections()) & columns


def _is_enough(aggregate: str) -> bool:
    weighs = aggregate.startswith(("sum(", "approx_percentile_cont_with_weight(")) and COUNTS in aggregate
    return weighs or aggregate.startswith(_INDIFFERENT)


def _alike(path: str, expressions: list[Expr], table: LogicalTable) -> Alike:
    """What makes values of a field count alike: the one thing that all expressions ask of it, else equality."""
    found = {_asked(one, table.fields[path].type) for one in expressions if path in str(one.canonical_name())}
    [(column, alike)] = found if len(found) == 1 else {("", EQUAL)}
    return alike if column == path else EQUAL


def _asked(expression: Expr, kind: str) -> tuple[str, Alike]:
    """The column that an expression asks for a coarser thing than its value, and that."""
    while expression.variant_name() == "Alias":
        expression = expression.to_variant().expr()
    percentile = _PERCENTILE.fullmatch(str(expression.canonical_name()))
    if percentile and kind == "f64":
        return percentile[1], ABOUT
    if expression.variant_name() != "ScalarFunction":
        return "", EQUAL
    match str(expression.rex_call_operator()), expression.rex_call_operands():
        case "date_trunc", [unit, column] if literal_of(unit) in _UNITS_NS:
            return _name(column), ("every", _UNITS_NS[literal_of(unit)])
        case "date_bin", [width, column] if (found := _INTERVAL.search(str(width.canonical_name()))) and int(found[1]) > 0:
            return _name(column), ("every", int(found[1]))
    return "", EQUAL


def _name(column: Expr) -> str:
    variant = variant_of(column)
    return str(variant.name()) if type(variant).__name__ == "Column" else ""


def _said(expressions: Iterable[Expr]) -> list[str]:
    return [str(one.canonical_name()) for one in expressions]


def _count(given: list[str], _: Surroundings) -> str:
    return f"coalesce(sum({quote(COUNTS)}), 0)" if given in (["*"], ["1"]) else f"count({', '.join(given)})"


def _percentile(given: list[str], _: Surroundings) -> str:
    if len(given) != 2:
        return f"approx_percentile_cont({', '.join(given)})"
    return f"approx_percentile_cont_with_weight({given[0]}, {quote(COUNTS)}, {given[1]})"


_WEIGHED: Mapping[str, Macro] = {"count": _count, "approx_percentile_cont": _percentile}
