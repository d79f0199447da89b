"""Conditions: a boolean SQL expression over one table's fields, taken from a user and kept for later.

In: the expression as written. Out: a `Condition` that means the same at any time, or a BadQuery that repeats no literal.
What is kept must never fail on a value and never change its answer, so casts that can fail, subqueries and functions of
the time are refused when it is made: a tombstone that raised would make its whole table unreadable.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from datafusion import DataFrame, SessionConfig, SessionContext

from pulka.errors import BadQuery, Corrupt, NotFound, nearest
from pulka.model.fields import FieldType, arrow_type
from pulka.model.rules import Condition, Removal
from pulka.model.tables import check_table
from pulka.query import messages, shapes
from pulka.query.apart import grows
from pulka.query.names import identifiers, quote_paths, quote_word, unique_match
from pulka.query.removal import fields_of, taken
from pulka.query.schema import LogicalTable, logical_tables
from pulka.query.session import open_session, planning_session
from pulka.seams import Catalog, Fragment, Fresh

__all__ = ["Conditions"]

_QUERIES = {"select", "values", "exists", "over"}
_CLOCKS = {"localtime", "localtimestamp"}
_PROBES: Mapping[FieldType, tuple[Any, ...]] = {
    "str": (None, "", "a", "5", "["),
    "json": (None, "{}", "[1,", "[1]", "x"),
    "bool": (None, True, False, True, None),
    "i64": (None, 0, -1, -(2**63), 2**63 - 1),
    "f64": (None, 0.0, -1.5, float("nan"), float("inf")),
    "timestamp": (None, 0, 1, -(2**63), 2**63 - 1),
}
_PROBE_ROWS = 5**4
_NAMES_TRIED_MAX = 64


class Conditions:
    """Makes conditions, and tells which rows of a fragment they are TRUE of."""

    def __init__(self, catalog: Catalog, fresh: Fresh, *, memory_bytes: int = 64 << 20, scratch: Path | None = None) -> None:
        self._catalog, self._fresh = catalog, fresh
        self._memory_bytes, self._scratch = memory_bytes, scratch

    async def bind(self, tenant: str, table: str, sql: str) -> Condition:
        """The condition that `sql` is over a table of the tenant as it is now. NotFound or BadQuery say what is wrong."""
        fresh = self._fresh.fresh_fields(tenant)  # before the catalog: what is published in between is then in both
        known = logical_tables(await self._catalog.tables(tenant), fresh)
        if table not in known:
            check_table(table)
            raise NotFound(f"there is no table `{table}`", hint=nearest(table, list(known)) or "see /api/v1/tables")
        return await asyncio.to_thread(_bind, sql, known[table])

    async def matching(self, fragment: Fragment, path: Path, removals: Sequence[Removal]) -> Sequence[pa.BooleanArray]:
        """`pulka.seams.Matching`: which rows of a fragment each removal takes."""
        return await asyncio.to_thread(self._matching, fragment, path, removals)

    def _matching(self, fragment: Fragment, path: Path, removals: Sequence[Removal]) -> list[pa.BooleanArray]:
        with tempfile.TemporaryDirectory(prefix="pulka-rewrite-", dir=self._scratch) as folder:
            session = open_session(self._memory_bytes, 1, Path(folder, "spill"))  # one thread: rows keep their order
            shape = shapes.shape_of_fragment(fragment, fields_of(removals))
            scan = shapes.scan_fragments(session, shape, [path.absolute()], Path(folder, "scan"))
            table = taken(scan, shape, removals).to_arrow_table()
        if table.num_rows != fragment.rows:
            raise Corrupt(f"fragment {fragment.id} has {table.num_rows} rows, not {fragment.rows}", hint="run `pulka store check`")
        return [pa.concat_arrays(column.chunks) for column in table.columns]


def _bind(sql: str, table: LogicalTable) -> Condition:
    _refuse(sql)
    session = planning_session()
    frame = session.from_arrow(table.empty())
    try:
        text = _resolve(frame, quote_paths(sql, {table.name: table}), table)
    except Exception as error:
        raise _refusal(error, table) from None
    quoted, words = identifiers(text)
    names = [path for path in table.fields if path in quoted or path in words]
    condition = Condition(text, tuple((path, table.fields[path].type) for path in names))
    _probe(session, condition)
    return condition


def _resolve(frame: DataFrame, sql: str, table: LogicalTable) -> str:
    """Bind names; one that differs only by case from exactly one field is taken for it."""
    for _ in range(_NAMES_TRIED_MAX):
        try:
            frame.parse_sql_expr(sql)
            return sql
        except Exception as error:
            word = messages.unknown_field(error) or ""
            name = unique_match(word, table.fields)
            if name is None or (sql := quote_word(before := sql, word, name)) == before:
                raise
    raise ValueError("too many names that differ by case only")


def _refuse(sql: str) -> None:
    """What binds but may not be kept. Words in quotes are names of fields."""
    quoted, words = identifiers(sql)
    bare = {word.lower() for word in words}
    if grows(sql):
        raise BadQuery("a condition is about what a row has; it cannot make more of it", hint="leave out repeat, lpad, range and the like")
    if bare & _QUERIES:
        raise BadQuery("a condition is about the fields of one row; it cannot ask a query", hint="ask first, then list the values: field IN (...)")
    changing = sorted((bare | {word.lower() for word in quoted} if "(" in sql else bare) & (_changing() | _CLOCKS))
    if changing:
        raise BadQuery(f"`{changing[0]}` gives another answer at another time", hint="write the moment itself, or use from and to")


@lru_cache(maxsize=1)
def _changing() -> frozenset[str]:
    """The functions that are not the same every time, by DataFusion's own account."""
    session = SessionContext(SessionConfig().with_information_schema(True))
    rows = session.sql("SELECT DISTINCT routine_name FROM information_schema.routines WHERE is_deterministic = false").to_pylist()
    return frozenset(row["routine_name"].lower() for row in rows)


def _probe(session: SessionContext, condition: Condition) -> None:
    """Evaluate over values that casts, divisions and patterns trip over."""
    arrays = [_probe_column(number, kind) for number, (_, kind) in enumerate(condition.fields)]
    batch = pa.RecordBatch.from_arrays(
        [pa.array([None] * _PROBE_ROWS, pa.bool_()), *arrays], names=["\x1f", *(path for path, _ in condition.fields)]
    )  # fmt: skip
    frame = session.from_arrow(batch)
    try:
        decided = frame.select(frame.parse_sql_expr(f"({condition.sql}\n) IS TRUE")).to_arrow_table()
        frame.filter(frame.parse_sql_expr(f"({condition.sql}\n)")).count()
    except Exception:
        raise _fallible() from None
    if decided.num_rows != _PROBE_ROWS or decided.schema.types != [pa.bool_()]:
        raise _fallible()


def _probe_column(number: int, kind: FieldType) -> pa.Array:
    """Neighbouring columns step through their values at different speeds, so that they meet in all pairs."""
    values, stride = _PROBES[kind], 5 ** (number % 4)
    return pa.array([values[(row // stride + number // 4) % len(values)] for row in range(_PROBE_ROWS)], arrow_type(kind))


def _fallible() -> BadQuery:
    return BadQuery(
        "the condition is not TRUE, FALSE or NULL for every value its fields may have",
        hint="compare fields with values of their own type, use TRY_CAST for others; no aggregates, no division by whole numbers",
    )


def _refusal(error: Exception, table: LogicalTable) -> BadQuery:
    """Names what is unknown; of the rest, which may quote what was written, nothing."""
    if messages.unknown_field(error) is not None or "Invalid function" in str(error):
        told = messages.translate(error, {table.name: table}, _functions())
        return BadQuery(told.message, hint=told.hint)
    return BadQuery("the condition is not a boolean SQL expression", hint="try it first as the WHERE of a query")


@lru_cache(maxsize=1)
def _functions() -> tuple[str, ...]:
    session = planning_session()
    return tuple(session.udfs())
