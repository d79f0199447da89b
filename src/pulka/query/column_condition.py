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

    bounds = _bounds(kind, values[0])

    def in_bounds(stats: ColumnStats) -> bool:
        low, high = bounds(stats)
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

    bounds = _bounds(kind, value)

    def in_bounds(stats: ColumnStats) -> bool:
        low, high = bounds(stats)
        return low is None or high is None or within(op, low, high, value)

    def in_values(known: _Values) -> list[bool]:
        return [any(_COMPARE[op](one, value) for one in some) for some in known]

    return Condition(in_bounds, in_values if isinstance(value, str) else None)


def matched(like: Like) -> Condition:
    """The field's text matches."""
    prefix = like.pieces[0]

    def in_bounds(stats: ColumnStats) -> bool:
        low, high = _text_bounds(stats)
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


def _bounds(logical: FieldType, wanted: Any) -> Callable[[ColumnStats], tuple[Any, Any]]:
    """Gives a column's minimum and maximum as values that compare with `wanted`, of a field of type `logical`."""
    if isinstance(wanted, str):
        return _text_bounds
    return lambda stats: (_bound(stats, stats.min, logical, wanted), _bound(stats, stats.max, logical, wanted))


def _text_bounds(stats: ColumnStats) -> tuple[str | None, str | None]:
    """Only text columns have text for bounds: order is lost where a number is shown as text."""
    low, high = stats.min, stats.max
    return (low, high) if isinstance(low, str) and isinstance(high, str) else (None, None)


def _bound(stats: ColumnStats, bound: Any, logical: FieldType, wanted: Any) -> Any:
    """`bound` as a value of the logical type, or None when it is none."""
    if bound is None or bound != bound:
        return None
    if isinstance(wanted, float) and stats.column.type in ("i64", "f64"):
        return float(bound)
    return bound if stats.column.type == logical and isinstance(bound, type(wanted)) else None
