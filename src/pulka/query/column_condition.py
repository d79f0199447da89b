"""Conditions on one field, as statistics of one column answer them.

Bounds are taken as inclusive even where the comparison is strict: text bounds may be rounded, and -0.0 sorts below 0.0.
"""

import operator
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pulka import _native
from pulka.model.fields import FieldType
from pulka.query.predicate import Like
from pulka.seams import ColumnStats

__all__ = ["Condition", "compared", "matched", "one_of", "within"]

_PATTERNS_MAX = 64
"""Longer lists of texts are held against bounds and values only."""
_Values = Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a field, in each form that some statistics can answer; what is empty asks nothing of them.

    `in_bounds` says whether a value within a column's minimum and maximum may satisfy it; `in_values` the same of each list
    of values; `patterns` are alternatives for text, each as `Like.pieces`.
    """

    in_bounds: Callable[[ColumnStats], bool]
    in_values: Callable[[_Values], list[bool]] | None = None
    patterns: Sequence[tuple[str, ...]] = ()
    ignore_case: bool = False


def one_of(values: Sequence[Any], kind: FieldType) -> Condition:
    """The field is one of `values`, sorted and of one type; `kind` is the field's logical type."""

    def in_bounds(stats: ColumnStats) -> bool:
        low, high = _bounds(stats, kind, values[0])
        if low is None or high is None:
            return True
        first = bisect_left(values, low)
        return first < len(values) and bool(values[first] <= high)

    if not isinstance(values[0], str):
        return Condition(in_bounds)
    wanted = frozenset(values)
    patterns = [(value,) for value in values] if len(values) <= _PATTERNS_MAX else []
    return Condition(in_bounds, lambda known: [not wanted.isdisjoint(some) for some in known], patterns)


def compared(op: str, value: Any, kind: FieldType) -> Condition:
    """The field compares with `value`, other than by equality."""

    def in_bounds(stats: ColumnStats) -> bool:
        low, high = _bounds(stats, kind, value)
        return low is None or high is None or within(op, low, high, value)

    def in_values(known: _Values) -> list[bool]:
        return [any(_COMPARE[op](one, value) for one in some) for some in known]

    return Condition(in_bounds, in_values if isinstance(value, str) else None)


def matched(like: Like) -> Condition:
    """The field's text matches."""
    prefix = like.pieces[0]

    def in_bounds(stats: ColumnStats) -> bool:
        low, high = _bounds(stats, "str", prefix)
        if like.ignore_case or low is None or high is None:
            return True
        return bool(low[: len(prefix)] <= prefix <= high)

    def in_values(known: _Values) -> list[bool]:
        return _native.values_match(known, [like.pieces], like.ignore_case)

    return Condition(in_bounds, in_values, [like.pieces], like.ignore_case)


_COMPARE = {
    "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def within(op: str, low: Any, high: Any, wanted: Any) -> bool:
    """Whether some value from `low` to `high` compares with `wanted` as told."""
    match op:
        case "=":
            return bool(low <= wanted <= high)
        case "<" | "<=":
            return bool(low <= wanted)
        case ">" | ">=":
            return bool(high >= wanted)
    return isinstance(wanted, float) or not low == high == wanted


def _bounds(stats: ColumnStats, logical: FieldType, wanted: Any) -> tuple[Any, Any]:
    return _bound(stats, stats.min, logical, wanted), _bound(stats, stats.max, logical, wanted)


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
