"""Which fragments can hold a row that a predicate is true of. No false negatives: in doubt a fragment is kept.

Each condition on a field is answered for all fragments at once, by the cheapest means that refutes it. A fragment is removed
by the cheapest means with which the whole predicate is refuted: the least of the parts of AND, the greatest of those of OR.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

from pulka import _native
from pulka.model.fields import TIMESTAMP
from pulka.query.column_condition import Condition, compared, matched, one_of, within
from pulka.query.predicate import All, AnyOf, Compare, Contains, IsNull, Like, Predicate, Prefix
from pulka.query.schema import LogicalTable
from pulka.seams import ColumnStats, Fragment

__all__ = ["Means", "may_match", "prune"]


class Means(IntEnum):
    """What refutes a condition, cheapest first."""

    TIME = 0
    EXISTENCE = 1
    MIN_MAX = 2
    VALUES = 3
    AUTOMATON = 4
    WORDS = 5


_NONE = len(Means)
"""The verdict of a condition that nothing refutes; other verdicts are Means."""
Verdicts = list[int]


def prune(
    predicate: Predicate, fragments: Sequence[Fragment], table: LogicalTable
) -> tuple[list[Fragment], dict[str, int]]:
    """The fragments that may hold a row of which `predicate` is true, and how many each means removed."""
    verdicts = _verdicts(predicate, fragments, table)
    kept = [fragment for fragment, verdict in zip(fragments, verdicts, strict=True) if verdict == _NONE]
    return kept, {means.name.lower(): verdicts.count(means) for means in Means}


def may_match(predicate: Predicate, fragment: Fragment, table: LogicalTable) -> bool:
    """Whether a row of `fragment` may satisfy `predicate`."""
    return _verdicts(predicate, [fragment], table)[0] == _NONE


def _verdicts(predicate: Predicate, fragments: Sequence[Fragment], table: LogicalTable) -> Verdicts:
    match predicate:
        case All(parts) if parts:
            return _combined(min, [_verdicts(part, fragments, table) for part in parts])
        case AnyOf(parts) if parts:
            return _any_of(parts, fragments, table)
        case Compare(path, op, value) if path == TIMESTAMP:
            return [_NONE if within(op, one.min_ns, one.max_ns, value) else Means.TIME for one in fragments]
        case Compare(path, "=", value):
            return _of_field(one_of([value], table.fields[path].type), path, fragments)
        case Compare(path, op, value):
            return _of_field(compared(op, value, table.fields[path].type), path, fragments)
        case Prefix(path) | Contains(path) | Like(path):
            return _of_field(matched(predicate.like), path, fragments)
        case IsNull(path, negated):
            return [_NONE if _may_be_null(one, path, negated) else Means.EXISTENCE for one in fragments]
    return [_NONE] * len(fragments)


def _combined(pick: Callable[..., int], columns: Sequence[Verdicts]) -> Verdicts:
    return list(map(pick, *columns)) if len(columns) > 1 else columns[0]


def _any_of(parts: Sequence[Predicate], fragments: Sequence[Fragment], table: LogicalTable) -> Verdicts:
    """Equalities with one field are one condition: lists of values are long."""
    values: dict[tuple[str, type], list[Any]] = {}
    columns = []
    for part in parts:
        if isinstance(part, Compare) and part.op == "=" and part.path != TIMESTAMP:
            values.setdefault((part.path, type(part.value)), []).append(part.value)
        else:
            columns.append(_verdicts(part, fragments, table))
    for (path, _), wanted in values.items():
        columns.append(_of_field(one_of(sorted(wanted), table.fields[path].type), path, fragments))
    return _combined(max, columns)


def _may_be_null(fragment: Fragment, path: str, negated: bool) -> bool:
    if path in fragment.residual:
        return True
    if path == TIMESTAMP:
        return negated
    present = sum(fragment.rows - stats.nulls for stats in fragment.columns_of(path))
    return present > 0 if negated else present < fragment.rows


def _of_field(condition: Condition, path: str, fragments: Sequence[Fragment]) -> Verdicts:
    """What refutes the condition of each fragment: of its columns of the field, the one that is hardest to refute.

    Thousands of fragments pass here for each condition, so the loop does as little as it can.
    """
    verdicts = [_NONE] * len(fragments)
    indices: list[int] = []
    columns: list[ColumnStats] = []
    in_bounds = condition.in_bounds
    for index, fragment in enumerate(fragments):
        if path in fragment.residual:
            continue
        verdicts[index] = Means.EXISTENCE
        for stats in fragment.columns_of(path):
            if stats.nulls >= fragment.rows:
                continue
            verdicts[index] = Means.MIN_MAX
            if in_bounds(stats):
                indices.append(index)
                columns.append(stats)
    for index, verdict in zip(indices, _refuted_columns(condition, columns), strict=True):
        verdicts[index] = max(verdict, verdicts[index])
    return verdicts


def _refuted_columns(condition: Condition, columns: Sequence[ColumnStats]) -> Verdicts:
    verdicts = [_NONE] * len(columns)

    def ask(means: Means, known: Callable[[ColumnStats], Any], answer: Callable[[list[Any]], list[bool]]) -> None:
        asked = [i for i, stats in enumerate(columns) if verdicts[i] == _NONE and known(stats)]
        for index, may in zip(asked, answer([known(columns[i]) for i in asked]) if asked else (), strict=True):
            verdicts[index] = _NONE if may else means

    patterns, ignore_case = condition.patterns, condition.ignore_case
    if condition.in_values is not None:
        ask(Means.VALUES, lambda stats: stats.values, condition.in_values)
    if patterns:
        ask(
            Means.AUTOMATON,
            lambda stats: stats.automaton,
            lambda some: _native.automata_match(some, patterns, ignore_case),
        )
        ask(Means.WORDS, lambda stats: stats.words, lambda some: _native.word_filters_match(some, patterns))
    return verdicts
