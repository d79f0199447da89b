"""A filter as tests of single fields that mean the same to the letter: what passes them all is what the filter is true of.

Predicates (`predicate.py`) say what must be; these also what suffices. A condition that is none of them is left to the engine.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from datafusion import Expr

from pulka.query.filters import literal_of, operands, path_of, read, variant_of
from pulka.query.predicate import AnyOf, Compare, IsNull, Predicate
from pulka.query.schema import LogicalTable

__all__ = ["Exact", "Test", "exact"]

_I64_MIN, _I64_MAX = -(1 << 63), (1 << 63) - 1
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$#&\-~]")
_FUNCTIONS = {"contains": "contains", "starts_with": "starts_with", "ends_with": "ends_with"}
_REGEX = {"~": "regex", "~*": "regex_ignore_case"}


@dataclass(frozen=True, slots=True)
class Test:
    """`operand` as `pulka._native.Counts` takes it, for columns of the field's own type."""

    path: str
    kind: str
    operand: Any


@dataclass(frozen=True, slots=True)
class Exact:
    """The filter is true where all tests pass and what it says of the `open` fields besides."""

    tests: tuple[Test, ...] = ()
    open: frozenset[str] = frozenset()


def exact(expression: Expr, table: LogicalTable) -> Exact:
    """The tests of a filter, and the fields of which it asks what is no test."""
    tests, rest = list[Test](), set[str]()
    for part in operands(expression, "AND"):
        test = _test(part, table)
        if test is None:
            said = str(part.canonical_name())
            rest |= {path for path in table.fields if path in said}
        else:
            tests.append(test)
    return Exact(tuple(tests), frozenset(rest))


def _test(part: Expr, table: LogicalTable) -> Test | None:
    variant = variant_of(part)
    match type(variant).__name__:
        case "Like":
            return _like(part, variant, table)
        case "BinaryExpr" if variant.op() in _REGEX:
            return _text(variant.left(), _REGEX[variant.op()], literal_of(variant.right()), table)
    if part.variant_name() == "ScalarFunction" and part.rex_call_operator() in _FUNCTIONS:
        text, piece = part.rex_call_operands()
        given = literal_of(piece)
        return _text(text, _FUNCTIONS[part.rex_call_operator()], [given] if isinstance(given, str) else None, table)
    return _of_predicate(read(part, table), table)


def _of_predicate(predicate: Predicate, table: LogicalTable) -> Test | None:
    """Comparisons and tests for null are read as they are."""
    match predicate:
        case IsNull(path, negated):
            return Test(path, "null", not negated)
        case Compare(path, "=", _):
            return _one_of(path, [predicate], table)
        case Compare(path, op, int(value)) if op in _RANGES and table.fields[path].type in ("i64", "timestamp"):
            return Test(path, "integers", _integers([_RANGES[op](value)]))
        case Compare(path, op, float(value)) if op in _RANGES and table.fields[path].type == "f64":
            return Test(path, op, value)
        case AnyOf((Compare(path), *_) as parts) if all(isinstance(one, Compare) and (one.path, one.op) == (path, "=") for one in parts):
            return _one_of(path, [one for one in parts if isinstance(one, Compare)], table)
    return None


_RANGES: Mapping[str, Callable[[int], tuple[int, int]]] = {
    "<": lambda value: (_I64_MIN, value - 1), "<=": lambda value: (_I64_MIN, value),
    ">=": lambda value: (value, _I64_MAX), ">": lambda value: (value + 1, _I64_MAX),
}  # fmt: skip


def _one_of(path: str, parts: Iterable[Compare], table: LogicalTable) -> Test | None:
    values = sorted({part.value for part in parts})
    match table.fields[path].type:
        case "str" | "json":
            return Test(path, "equals", values)
        case "i64" | "timestamp" | "bool" if all(isinstance(value, int) for value in values):
            return Test(path, "integers", _integers((int(value), int(value)) for value in values))
        case "f64" if len(values) == 1:
            return Test(path, "=", float(values[0]))
    return None


def _integers(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(low, high) for low, high in ranges if _I64_MIN <= low <= high <= _I64_MAX]


def _like(part: Expr, variant: Any, table: LogicalTable) -> Test | None:
    """A pattern with an escape is left to the engine."""
    pattern = literal_of(variant.pattern())
    if not isinstance(pattern, str) or variant.negated() or "\\" in pattern or (variant.escape_char() or "\\") != "\\":
        return None
    ignore_case = str(part.rex_call_operator()) == "ilike"
    pieces = pattern.split("%")
    if not ignore_case and "_" not in pattern:
        match pieces:
            case [whole]:
                return _text(variant.expr(), "equals", [whole], table)
            case [start, ""]:
                return _text(variant.expr(), "starts_with", [start], table)
            case ["", end]:
                return _text(variant.expr(), "ends_with", [end], table)
            case ["", piece, ""] if piece:
                return _text(variant.expr(), "contains", [piece], table)
    said = ".*".join(_SPECIAL.sub(r"\\\g<0>", piece).replace("_", ".") for piece in pattern.strip("%").split("%"))
    expression = f"(?s){'' if pattern.startswith('%') else '^'}{said}{'' if pattern.endswith('%') else '$'}"
    return _text(variant.expr(), "regex_ignore_case" if ignore_case else "regex", expression, table)


def _text(text: Expr, kind: str, operand: Any, table: LogicalTable) -> Test | None:
    path = path_of(text, table)
    return None if path is None or operand is None or table.fields[path].type not in ("str", "json") else Test(path, kind, operand)
