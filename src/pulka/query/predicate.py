"""What a filter says of single fields, in a form that statistics can answer.

Read from DataFusion's optimised expressions, where NOT and BETWEEN are already dissolved. Whatever is not understood
becomes `Anything`, which no fragment can be excluded by.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from datafusion import Expr

from pulka.model.fields import FieldType
from pulka.query.schema import LogicalTable

__all__ = ["ANYTHING", "All", "AnyOf", "Anything", "Compare", "IsNull", "Predicate", "Prefix", "conjuncts", "read"]


@dataclass(frozen=True, slots=True)
class Anything:
    """May be true of any row."""


@dataclass(frozen=True, slots=True)
class Compare:
    """`path op value`, where `value` is already of the field's logical type."""

    path: str
    op: str
    value: Any


@dataclass(frozen=True, slots=True)
class Prefix:
    """The text of `path` begins with `prefix`."""

    path: str
    prefix: str


@dataclass(frozen=True, slots=True)
class IsNull:
    """`path` is null, or with `negated` is not."""

    path: str
    negated: bool


@dataclass(frozen=True, slots=True)
class All:
    """Every part is true."""

    parts: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part is true."""

    parts: tuple["Predicate", ...]


Predicate: TypeAlias = Anything | Compare | Prefix | IsNull | All | AnyOf
ANYTHING = Anything()
_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_VALUE_TYPES: dict[FieldType, type] = {
    "timestamp": int, "bool": bool, "i64": int, "f64": float, "str": str, "json": str,
}  # fmt: skip
_DEPTH_MAX = 100


def conjuncts(predicate: Predicate) -> tuple[Predicate, ...]:
    """The parts that must all be true."""
    return predicate.parts if isinstance(predicate, All) else (predicate,)


def read(expression: Expr, table: LogicalTable, depth: int = 0) -> Predicate:
    """The predicate of a boolean expression over `table`."""
    variant = _variant(expression)
    kind = type(variant).__name__
    if depth > _DEPTH_MAX:
        return ANYTHING
    if kind == "BinaryExpr" and variant.op() in ("AND", "OR"):
        parts = tuple(read(part, table, depth + 1) for part in _operands(expression, variant.op()))
        return All(parts) if variant.op() == "AND" else AnyOf(parts)
    reader = _READERS.get(kind)
    return ANYTHING if reader is None else reader(expression, variant, table)


def _variant(expression: Expr) -> Any:
    try:
        return expression.to_variant()
    except Exception:  # the binding has no class for many kinds of expression; none of them is one we read
        return None


def _operands(expression: Expr, op: str) -> list[Expr]:
    """The operands of a chain of one operator, without recursion: chains are as long as users make them."""
    found, open_ = [], [expression]
    while open_:
        current = open_.pop()
        variant = _variant(current)
        if type(variant).__name__ == "BinaryExpr" and variant.op() == op:
            open_ += [variant.right(), variant.left()]
        else:
            found.append(current)
    return found


def _comparison(_: Expr, variant: Any, table: LogicalTable) -> Predicate:
    op = variant.op()
    if op not in _MIRRORED:
        return ANYTHING
    direct = _compare(variant.left(), op, variant.right(), table)
    return direct or _compare(variant.right(), _MIRRORED[op], variant.left(), table) or ANYTHING


def _compare(left: Expr, op: str, right: Expr, table: LogicalTable) -> Compare | None:
    value = _literal(right)
    path = _path(left, table, as_float=isinstance(value, float))
    if path is None or value is None:
        return None
    wanted = {_VALUE_TYPES[table.fields[path].type]} | ({float} if table.fields[path].type == "i64" else set())
    return Compare(path, op, value) if type(value) in wanted else None


def _path(expression: Expr, table: LogicalTable, as_float: bool = False) -> str | None:
    """The field an expression is, looking through the cast of an integer that is compared with a float."""
    variant = _variant(expression)
    kind = type(variant).__name__
    if kind == "Cast" and as_float:
        path = _path(variant.expr(), table)
        return path if path is not None and table.fields[path].type == "i64" else None
    if kind != "Column" or variant.name() not in table.fields:
        return None
    return str(variant.name())


def _literal(expression: Expr) -> Any:
    if type(_variant(expression)).__name__ != "Literal":
        return None
    scalar = expression.python_value()
    kind = str(scalar.type)
    if kind.startswith("timestamp"):
        return scalar.value if kind.startswith("timestamp[ns") else None
    return scalar.as_py()


def _in_list(_: Expr, variant: Any, table: LogicalTable) -> Predicate:
    if variant.negated():
        return ANYTHING
    return AnyOf(tuple(_compare(variant.expr(), "=", item, table) or ANYTHING for item in variant.list()))


def _like(expression: Expr, variant: Any, table: LogicalTable) -> Predicate:
    pattern, path = _literal(variant.pattern()), _path(variant.expr(), table)
    # ILIKE comes as the same class.
    exact_case = str(expression.canonical_name()).startswith(f"{variant.expr().canonical_name()} LIKE ")
    if not isinstance(pattern, str) or path is None or variant.negated() or not exact_case:
        return ANYTHING
    stops = {"%", "_", "\\", str(variant.escape_char() or "%")}
    end = min((pattern.find(stop) for stop in stops if stop in pattern), default=len(pattern))
    return Prefix(path, pattern[:end]) if table.fields[path].type in ("str", "json") else ANYTHING


def _nullness(negated: bool) -> Any:
    def reader(_: Expr, variant: Any, table: LogicalTable) -> Predicate:
        path = _path(variant.expr(), table)
        return ANYTHING if path is None else IsNull(path, negated)

    return reader


def _is_true(expression: Expr, _: Any, table: LogicalTable) -> Predicate:
    path = _path(expression, table)
    return ANYTHING if path is None else Compare(path, "=", True)


def _is_false(_: Expr, variant: Any, table: LogicalTable) -> Predicate:
    path = _path(variant.expr(), table)
    return ANYTHING if path is None else Compare(path, "=", False)


_READERS: dict[str, Any] = {
    "BinaryExpr": _comparison,
    "InList": _in_list,
    "Like": _like,
    "IsNull": _nullness(negated=False),
    "IsNotNull": _nullness(negated=True),
    "Column": _is_true,
    "Not": _is_false,
}
