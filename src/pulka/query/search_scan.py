"""The search before the query: of fragments that a selective filter is asked of, the few rows that can match.

DataFusion's wheel cannot be told which row groups and rows to read, `pulka._native.Search` finds them: it reads only what
the conditions need, and the query runs over the rows found. A search that finds much is given up soon, and the fragments
are scanned in the ordinary way. The query's whole filter is applied again, so conditions may let rows through.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pyarrow as pa

from pulka.model.fields import RESIDUAL, TIMESTAMP, Column
from pulka.model.tables import table as definition
from pulka.model.windows import TimeRange
from pulka.query.plan import Use
from pulka.query.predicate import All, AnyOf, Compare, Contains, IsNull, Like, Predicate, Prefix, conjuncts
from pulka.query.schema import LogicalTable
from pulka.seams import Fragment

__all__ = ["Condition", "Found", "conditions", "plain_columns", "search", "within"]

Pattern: TypeAlias = tuple[str, str]
Condition: TypeAlias = tuple[str, str, object]
Request: TypeAlias = tuple[str, Sequence[str], Sequence[Condition]]
_I64_MIN, _I64_MAX = -(1 << 63), (1 << 63) - 1
_PIECE_BYTES_MIN = 3
"""Shorter pieces of text are nearly everywhere."""


@dataclass(slots=True)
class Found:
    """Rows found per fragment id, in physical columns; and what the search read. No rows at all when it was given up."""

    rows: Mapping[str, Sequence[pa.RecordBatch]] = field(default_factory=dict)
    given_up: bool = False
    row_groups: int = 0
    pruned: Mapping[str, int] = field(default_factory=dict)
    rows_found: int = 0
    bytes_read: int = 0
    counted: bool = False
    """Each row says for how many it stands (`counted.py`)."""


async def search(
    use: Use, window: TimeRange, fragments: Mapping[str, Fragment], *, bytes_max: int, threads: int
) -> Found | None:
    """Search `fragments`, by the path of their files, for rows of `use` within `window`; None when its filter is not selective."""
    if bytes_max <= 0 or len(use.scans) != 1:
        return None
    requests = await asyncio.to_thread(lambda: dict(_requests(use, window, fragments)))
    return await _run(requests, bytes_max, threads) if requests else None


def _requests(use: Use, window: TimeRange, fragments: Mapping[str, Fragment]) -> Iterable[tuple[str, Request]]:
    used = use.columns | {TIMESTAMP}
    for path, fragment in fragments.items():
        plain = plain_columns(fragment)
        if any(_is_selective(part, use.table, plain) for part in _flat(use.scans[0])):
            columns = [stats.column.name for stats in fragment.columns if stats.column.path in used]
            rest = [RESIDUAL] if used & fragment.residual.keys() else []
            yield fragment.id, (path, columns + rest, [*conditions(use.scans[0], use.table, plain), *within(window)])


async def _run(requests: Mapping[str, Request], bytes_max: int, threads: int) -> Found:
    from pulka._native import Search  # only selective queries need the native part

    native = Search(list(requests.values()), bytes_max=bytes_max, threads=threads)
    try:
        found = await asyncio.to_thread(native.run)
    except asyncio.CancelledError:
        native.cancel()
        raise
    except (OSError, ValueError):
        return Found(given_up=True)  # a file that cannot be read: the scan will say so
    rows = {} if found.batches is None else dict(zip(requests, found.batches, strict=True))
    return Found(rows, found.batches is None, found.row_groups, found.pruned, found.rows, found.bytes_read)


def conditions(predicate: Predicate, table: LogicalTable, plain: Mapping[str, Column]) -> list[Condition]:
    """What `predicate` says of the `plain` columns in the form the search takes."""
    return [one for part in _flat(predicate) for one in _conditions(part, table, plain)]


def _flat(predicate: Predicate) -> Iterable[Predicate]:
    """All parts that must be true, however nested."""
    for part in conjuncts(predicate):
        if isinstance(part, All):
            yield from _flat(part)
        else:
            yield part


def plain_columns(fragment: Fragment) -> dict[str, Column]:
    """The fields that are one plain column of the fragment, and in no residual."""
    columns: dict[str, list[Column]] = {}
    for stats in fragment.columns:
        columns.setdefault(stats.column.path, []).append(stats.column)
    return {path: own[0] for path, own in columns.items() if len(own) == 1 and path not in fragment.residual}


def _is_selective(part: Predicate, table: LogicalTable, plain: Mapping[str, Column]) -> bool:
    """Whether so few rows can be expected that a search pays: text within text, or an id that has a Bloom filter."""
    if isinstance(part, AnyOf):
        return all(_is_selective(one, table, plain) for one in part.parts) and bool(_patterns(part, table, plain))
    pattern = _pattern(part, table, plain)
    if pattern is None:
        return False
    (column, (how, text)) = pattern
    return column.path in definition(table.name).bloom if how == "equals" else _is_long(how, text)


def _is_long(how: str, text: str) -> bool:
    return how.startswith("contains") and len(text.encode()) >= _PIECE_BYTES_MIN


def _conditions(part: Predicate, table: LogicalTable, plain: Mapping[str, Column]) -> Iterable[Condition]:
    """What `part` says in the form the search takes; nothing where it cannot be said."""
    match part:
        case AnyOf():
            patterns = _patterns(part, table, plain)
            if patterns is not None:
                yield patterns
        case IsNull(path, negated) if path in plain:
            yield plain[path].name, "null", not negated
        case Compare(path, op, value) if path in plain and op != "!=" and not isinstance(value, str | bool):
            yield from _range(plain[path], op, value)
        case Like(path, pieces, ignore_case) if _is_plain_text(path, table, plain):
            for piece in sorted(filter(None, pieces), key=len, reverse=True):  # the longest is the rarest
                yield plain[path].name, "text", [_piece(pieces, piece, ignore_case)]
        case _ if (pattern := _pattern(part, table, plain)) is not None:
            yield pattern[0].name, "text", [pattern[1]]


def _patterns(part: AnyOf, table: LogicalTable, plain: Mapping[str, Column]) -> Condition | None:
    """Patterns of one column, any of which must match."""
    found = [_pattern(one, table, plain) for one in part.parts]
    known = [one for one in found if one is not None]
    if len(known) < len(found) or len({column.name for column, _ in known}) != 1:
        return None
    return known[0][0].name, "text", [pattern for _, pattern in known]


def _pattern(part: Predicate, table: LogicalTable, plain: Mapping[str, Column]) -> tuple[Column, Pattern] | None:
    """A pattern that every text has which `part` is true of."""
    match part:
        case Compare(path, "=", str(value)):
            pattern = ("equals", value)
        case Contains(path) | Prefix(path) | Like(path):
            pattern = _piece(part.like.pieces, max(part.like.pieces, key=len), part.like.ignore_case)
        case _:
            return None
    return (plain[path], pattern) if _is_plain_text(path, table, plain) else None


def _piece(pieces: Sequence[str], piece: str, ignore_case: bool) -> Pattern:
    if ignore_case:
        return "contains_ignore_case", piece
    return ("starts_with" if piece == pieces[0] else "contains"), piece


def _is_plain_text(path: str, table: LogicalTable, plain: Mapping[str, Column]) -> bool:
    """Whether the field's only column is shown as it is stored."""
    return path in plain and {plain[path].type, table.fields[path].type} <= {"str", "json"}


def _range(column: Column, op: str, value: Any) -> Iterable[Condition]:
    """Both bounds are included: a strict one lets its own value through."""
    if isinstance(value, int) and column.type in ("i64", "timestamp"):
        yield column.name, "integers", (_I64_MIN if op[0] == "<" else value, _I64_MAX if op[0] == ">" else value)
    elif isinstance(value, float) and column.type == "f64":
        yield column.name, "floats", (-float("inf") if op[0] == "<" else value, float("inf") if op[0] == ">" else value)


def within(window: TimeRange) -> Iterable[Condition]:
    """The time range in the form the search takes."""
    if window.start_ns is not None or window.end_ns is not None:
        low = _I64_MIN if window.start_ns is None else window.start_ns
        yield TIMESTAMP, "integers", (low, _I64_MAX if window.end_ns is None else window.end_ns - 1)
