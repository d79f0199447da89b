"""Which fragments can hold a row that a predicate is true of. No false negatives: in doubt a fragment is kept.

Bounds are taken as inclusive even where the comparison is strict: text bounds may be rounded, and -0.0 sorts below 0.0.
"""

from typing import Any

from pulka.model.fields import TIMESTAMP, FieldType
from pulka.query.predicate import All, AnyOf, Compare, IsNull, Predicate, Prefix
from pulka.query.schema import LogicalTable
from pulka.seams import ColumnStats, Fragment

__all__ = ["may_match"]


def may_match(predicate: Predicate, fragment: Fragment, table: LogicalTable) -> bool:
    """Whether a row of `fragment` may satisfy `predicate`."""
    match predicate:
        case All(parts):
            return all(may_match(part, fragment, table) for part in parts)
        case AnyOf(parts):
            return any(may_match(part, fragment, table) for part in parts)
        case Compare(path, op, value) if path == TIMESTAMP:
            return _range_may_match(op, fragment.min_ns, fragment.max_ns, value)
        case Compare(path) | Prefix(path):
            kind = table.fields[path].type
            return any(_column_may_match(predicate, stats, kind) for stats in _stored(fragment, path)) or (
                path in fragment.residual
            )
        case IsNull(path, negated):
            return _may_be_null(fragment, path, negated)
    return True


def _stored(fragment: Fragment, path: str) -> list[ColumnStats]:
    return [stats for stats in fragment.columns if stats.column.path == path and stats.nulls < fragment.rows]


def _may_be_null(fragment: Fragment, path: str, negated: bool) -> bool:
    present = sum(fragment.rows - stats.nulls for stats in _stored(fragment, path))
    if path in fragment.residual:
        return True
    if path == TIMESTAMP:
        return negated
    return present > 0 if negated else present < fragment.rows


def _column_may_match(predicate: Compare | Prefix, stats: ColumnStats, logical: FieldType) -> bool:
    wanted = predicate.value if isinstance(predicate, Compare) else predicate.prefix
    low, high = _bound(stats, stats.min, logical, wanted), _bound(stats, stats.max, logical, wanted)
    if low is None or high is None:
        return True
    if isinstance(predicate, Prefix):
        return bool(low[: len(wanted)] <= wanted <= high)
    return _range_may_match(predicate.op, low, high, wanted)


def _range_may_match(op: str, low: Any, high: Any, wanted: Any) -> bool:
    match op:
        case "=":
            return bool(low <= wanted <= high)
        case "<" | "<=":
            return bool(low <= wanted)
        case ">" | ">=":
            return bool(high >= wanted)
    return isinstance(wanted, float) or not low == high == wanted


def _bound(stats: ColumnStats, bound: Any, logical: FieldType, wanted: Any) -> Any:
    """`bound` as a value of the logical type, or None when order is lost on the way (a number shown as text)."""
    physical = stats.column.type
    if bound is None or (isinstance(bound, float) and bound != bound):
        return None
    if isinstance(wanted, float) and physical in ("i64", "f64"):
        return float(bound)
    if isinstance(wanted, str):
        return bound if physical in ("str", "json") and isinstance(bound, str) else None
    return bound if physical == logical and isinstance(bound, type(wanted)) else None
