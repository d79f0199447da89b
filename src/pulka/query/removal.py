"""Removals over a scan: the rows a query does not show are the rows a rewrite drops, because one expression decides both.

A condition sees its fields with the types they had when it was made. Only TRUE removes: a row for which it is NULL stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import pyarrow as pa
from datafusion import DataFrame, Expr, col, lit

from pulka.model.fields import RESIDUAL, TIMESTAMP, Column, arrow_type
from pulka.model.rules import Condition, Delete, Removal, expiry, takes_all
from pulka.query.names import quote
from pulka.query.plan import uses
from pulka.query.predicate import AnyOf, Predicate
from pulka.query.prune import may_match
from pulka.query.schema import LogicalField, LogicalTable
from pulka.query.session import planning_session, read_only
from pulka.query.shapes import Shape, values
from pulka.seams import Fragment, Position, Snapshot

__all__ = ["Hidden", "fields_of", "taken", "under_own_names", "without"]

_OWN = "\x1f"
"""Before the names of physical columns, while the fields of a condition stand beside them under their paths."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """What is hidden from a query of one table, at one moment."""

    deletes: tuple[Delete, ...] = ()
    expiry: tuple[Removal, ...] = ()

    @classmethod
    def of(cls, snapshot: Snapshot, table: str, default_s: int, now_ns: int) -> "Hidden":
        """What a snapshot hides at `now_ns`."""
        return cls(snapshot.deletes, expiry(snapshot.retention, table, default_s, now_ns))

    def in_fragment(self, fragment: Fragment) -> tuple[Removal, ...]:
        """The removals that may take rows of a fragment."""
        times = fragment.min_ns, fragment.max_ns
        found = [one.removal for one in self.deletes if one.concerns(fragment.deleted_upto, *times)]
        found += [one for one in self.expiry if one.window.overlaps(*times)]
        return tuple(one for one in found if one.condition is None or _may_be_true(one.condition, fragment))

    def in_record(self, at: Position) -> tuple[Removal, ...]:
        """The removals that may take rows of a fresh batch."""
        found = [one.removal for one in self.deletes if one.concerns_record(at.partition, at.sequence)]
        return (*found, *self.expiry)

    def takes_all(self, fragment: Fragment) -> bool:
        """Whether no row of a fragment is left, by its age alone."""
        return takes_all(self.expiry, fragment.min_ns, fragment.max_ns)


def fields_of(removals: Sequence[Removal]) -> frozenset[str]:
    """The paths that must be read to decide."""
    return frozenset(path for condition in _conditions(removals) for path, _ in condition.fields) | {TIMESTAMP}


def without(scan: DataFrame, shape: Shape, removals: Sequence[Removal]) -> DataFrame:
    """A scan of physical columns without the rows that are removed."""
    if not removals:
        return scan
    frame, gone = _decided(scan, shape, removals)
    names = shape.schema().names
    return frame.filter(~reduce(Expr.__or__, gone)).select(*(_column(_own(name)).alias(name) for name in names))


def taken(scan: DataFrame, shape: Shape, removals: Sequence[Removal]) -> DataFrame:
    """One boolean column per removal, without nulls."""
    frame, gone = _decided(scan, shape, removals)
    return frame.select(*(one.alias(str(number)) for number, one in enumerate(gone)))


def _decided(scan: DataFrame, shape: Shape, removals: Sequence[Removal]) -> tuple[DataFrame, list[Expr]]:
    """The scan under its own names with a column for each condition, and the removals as expressions over it."""
    frame, own = under_own_names(scan, shape)
    names = own.schema().names
    true: dict[Condition, Expr] = {}
    for number, condition in enumerate(_conditions(removals)):
        fields = [LogicalField(path, kind, frozenset({kind})) for path, kind in condition.fields]
        typed = frame.select(*map(_column, names), *values(own, fields))
        names.append(f"{_OWN}{number}")
        decided = typed.parse_sql_expr(f"({condition.sql}\n) IS TRUE").alias(names[-1])
        frame = typed.select(*map(_column, names[:-1]), decided)
        true[condition] = _column(names[-1])
    return frame, [_taken(removal, true) for removal in removals]


def under_own_names(scan: DataFrame, shape: Shape) -> tuple[DataFrame, Shape]:
    """The scan with its physical columns under names that no field has."""
    frame = scan.select(*(_column(name).alias(_own(name)) for name in shape.schema().names))
    return frame, Shape(frozenset(Column(_own(c.name), c.path, c.type) for c in shape.columns), shape.residual)


def _own(name: str) -> str:
    return name if name == RESIDUAL else f"{_OWN}{name}"


def _taken(removal: Removal, true: dict[Condition, Expr]) -> Expr:
    timestamp, window = _column(_own(TIMESTAMP)), removal.window
    parts = [~true[condition] for condition in removal.unless]
    if window.start_ns is not None:
        parts.append(timestamp >= _instant(window.start_ns))
    if window.end_ns is not None:
        parts.append(timestamp < _instant(window.end_ns))
    if removal.condition is not None:
        parts.append(true[removal.condition])
    return reduce(Expr.__and__, parts, lit(True))


def _conditions(removals: Sequence[Removal]) -> list[Condition]:
    """Each once, in their order."""
    named = [condition for removal in removals for condition in (removal.condition, *removal.unless) if condition is not None]
    return list(dict.fromkeys(named))


def _column(name: str) -> Expr:
    return col(quote(name))


def _instant(nanoseconds: int) -> Expr:
    return lit(pa.scalar(nanoseconds, arrow_type("timestamp")))


def _may_be_true(condition: Condition, fragment: Fragment) -> bool:
    predicate, table = _predicate(condition)
    return may_match(predicate, fragment, table)


@lru_cache(maxsize=256)
def _predicate(condition: Condition) -> tuple[Predicate, LogicalTable]:
    """What statistics can say of a condition."""
    known = {TIMESTAMP: LogicalField(TIMESTAMP, "timestamp", frozenset({"timestamp"}))}
    fields = known | {path: LogicalField(path, kind, frozenset({kind})) for path, kind in condition.fields}
    table = LogicalTable("t", fields)
    session = planning_session()
    session.register_record_batches("t", [[table.empty()]])
    use = uses(read_only(session, f"SELECT 1 FROM t WHERE ({condition.sql}\n)").optimized_logical_plan(), {"t": table}).get("t")  # noqa: S608 - bound before
    return (use.predicate() if use else AnyOf(())), table
