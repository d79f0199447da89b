"""Read predicates from DataFusion's optimised expressions, where NOT, BETWEEN and simple regular expressions are already dissolved."""

from typing import Any

from datafusion import Expr

from pulka import _native
from pulka.model.fields import FieldType
from pulka.query.predicate import ANYTHING, All, AnyOf, Compare, Contains, IsNull, Like, Predicate, Prefix
from pulka.query.schema import LogicalTable

__all__ = ["literal_of", "operands", "path_of", "read", "variant_of"]

_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=", "IS NOT DISTINCT FROM": "="}
_VALUE_TYPES: dict[FieldType, type] = {
    "timestamp": int, "bool": bool, "i64": int, "f64": float, "str": str, "json": str,
}  # fmt: skip
_DEPTH_MAX = 100
_REGEX_OPS = {"~": False, "~*": True}
_LOWERED_DOT = "\u0307"
"""What the lower case of one letter, the dotted capital I, has beside a letter: the only one that becomes two characters."""


def read(expression: Expr, table: LogicalTable, depth: int = 0) -> Predicate:
    """The predicate of a boolean expression over `table`; whatever is not understood is true of any row."""
    variant = variant_of(expression)
    kind = type(variant).__name__
    if depth > _DEPTH_MAX:
        return ANYTHING
    if kind == "BinaryExpr" and variant.op() in ("AND", "OR"):
        parts = tuple(read(part, table, depth + 1) for part in operands(expression, variant.op()))
        return All(parts) if variant.op() == "AND" else AnyOf(parts)
    reader = _READERS.get(expression.variant_name() if variant is None else kind)
    return ANYTHING if reader is None else reader(expression, variant, table)


def variant_of(expression: Expr) -> Any:
    """The expression as the class of its kind; None where the binding has none."""
    try:
        return expression.to_variant()
    except Exception:  # the binding has no class for many kinds of expression
        return None


def operands(expression: Expr, op: str) -> list[Expr]:
    """The operands of a chain of one operator, without recursion: chains are as long as users make them."""
    found, open_ = [], [expression]
    while open_:
        current = open_.pop()
        variant = variant_of(current)
        if type(variant).__name__ == "BinaryExpr" and variant.op() == op:
            open_ += [variant.right(), variant.left()]
        else:
            found.append(current)
    return found


def _comparison(_: Expr, variant: Any, table: LogicalTable) -> Predicate:
    op, left, right = variant.op(), variant.left(), variant.right()
    if op in _REGEX_OPS:
        return _regex(left, right, table, ignore_case=_REGEX_OPS[op])
    if op not in _MIRRORED:
        return ANYTHING
    mirrored = _MIRRORED[op]
    direct = _compare(left, _MIRRORED[mirrored], right, table) or _compare(right, mirrored, left, table)
    return direct or (_lower_equal(left, right, table) if mirrored == "=" else ANYTHING)


def _compare(left: Expr, op: str, right: Expr, table: LogicalTable) -> Compare | None:
    value = literal_of(right)
    path = path_of(left, table, as_float=isinstance(value, float))
    if path is None or value is None or value != value:
        return None
    wanted = {_VALUE_TYPES[table.fields[path].type]} | ({float} if table.fields[path].type == "i64" else set())
    return Compare(path, op, value) if type(value) in wanted else None


def path_of(expression: Expr, table: LogicalTable, as_float: bool = False) -> str | None:
    """The field an expression is, looking through the cast of an integer that is compared with a float."""
    variant = variant_of(expression)
    kind = type(variant).__name__
    if kind == "Cast" and as_float:
        path = path_of(variant.expr(), table)
        return path if path is not None and table.fields[path].type == "i64" else None
    if kind != "Column" or variant.name() not in table.fields:
        return None
    return str(variant.name())


def literal_of(expression: Expr) -> Any:
    """The value of a literal, times in nanoseconds; None of anything else."""
    if type(variant_of(expression)).__name__ != "Literal":
        return None
    scalar = expression.python_value()
    kind = str(scalar.type)
    if kind.startswith("timestamp[ns"):
        return scalar.value
    return scalar.as_py() if kind in ("bool", "int64", "double", "string") else None


def _in_list(_: Expr, variant: Any, table: LogicalTable) -> Predicate:
    op, gather = ("!=", All) if variant.negated() else ("=", AnyOf)
    return gather(tuple(_compare(variant.expr(), op, item, table) or ANYTHING for item in variant.list()))


def _like(expression: Expr, variant: Any, table: LogicalTable) -> Predicate:
    pattern = literal_of(variant.pattern())
    if not isinstance(pattern, str) or variant.negated():
        return ANYTHING
    escape = str(variant.escape_char() or "\\")
    ignore_case = str(expression.rex_call_operator()) == "ilike"
    return _text_match(variant.expr(), _pieces(pattern, {"\\", escape}), ignore_case, table)


def _pieces(pattern: str, escapes: set[str]) -> tuple[str, ...]:
    """The literal pieces between wildcards. One character of `_`, and one that is escaped, is any text here."""
    pieces, characters = [""], iter(pattern)
    for character in characters:
        if character in escapes:
            next(characters, None)
        if character in escapes or character in "%_":
            pieces.append("")
        else:
            pieces[-1] += character
    return (pieces[0], *(piece for piece in pieces[1:-1] if piece), *pieces[1:][-1:])


def _text_match(text: Expr, pieces: tuple[str, ...], ignore_case: bool, table: LogicalTable) -> Predicate:
    path, lowered = _text_path(text, table)
    if path is None or (lowered and _LOWERED_DOT in "".join(pieces)):
        return ANYTHING
    match pieces:
        case ("", part, ""):
            return Contains(path, part, ignore_case or lowered)
        case (prefix, "") if not (ignore_case or lowered):
            return Prefix(path, prefix)
    return Like(path, pieces, ignore_case or lowered)


def _text_path(expression: Expr, table: LogicalTable) -> tuple[str | None, bool]:
    """The text field an expression is, and whether it is shown in lower case."""
    lowered = expression.variant_name() == "ScalarFunction" and expression.rex_call_operator() == "lower"
    path = path_of(expression.rex_call_operands()[0] if lowered else expression, table)
    return (path if path is not None and table.fields[path].type in ("str", "json") else None), lowered


def _lower_equal(left: Expr, right: Expr, table: LogicalTable) -> Predicate:
    for text, value in ((left, literal_of(right)), (right, literal_of(left))):
        if isinstance(value, str) and _text_path(text, table)[1]:
            return _text_match(text, (value,), True, table)
    return ANYTHING


def _regex(text: Expr, pattern: Expr, table: LogicalTable, ignore_case: bool) -> Predicate:
    """Literals that every match has; whatever else the expression asks for is left to the engine."""
    expression = literal_of(pattern)
    if not isinstance(expression, str):
        return ANYTHING
    clauses = _native.regex_literals(expression, ignore_case)
    return All(
        tuple(
            AnyOf(tuple(_text_match(text, ("", piece, ""), folded, table) for piece, folded in clause))
            for clause in clauses
        )
    )


def _function(expression: Expr, _: Any, table: LogicalTable) -> Predicate:
    name, arguments = expression.rex_call_operator(), expression.rex_call_operands()
    if name not in ("contains", "ends_with") or len(arguments) != 2:
        return ANYTHING
    piece = literal_of(arguments[1])
    if not isinstance(piece, str):
        return ANYTHING
    return _text_match(arguments[0], ("", piece, "") if name == "contains" else ("", piece), False, table)


def _is_null(_: Expr, variant: Any, table: LogicalTable) -> Predicate:
    path = path_of(variant.expr(), table)
    return ANYTHING if path is None else IsNull(path, False)


def _is_not_null(_: Expr, variant: Any, table: LogicalTable) -> Predicate:
    operand = variant.expr()
    path = path_of(operand, table)
    return _regexp_match(operand, table) if path is None else IsNull(path, True)


def _regexp_match(expression: Expr, table: LogicalTable) -> Predicate:
    """`regexp_match(field, pattern)`, which is null where nothing matches."""
    if expression.variant_name() != "ScalarFunction" or expression.rex_call_operator() != "regexp_match":
        return ANYTHING
    text, pattern, *flags = expression.rex_call_operands()
    given = [literal_of(flag) for flag in flags]
    return _regex(text, pattern, table, ignore_case=given == ["i"]) if given in ([], ["i"]) else ANYTHING


def _is_true(expression: Expr, _: Any, table: LogicalTable) -> Predicate:
    path = path_of(expression, table)
    return ANYTHING if path is None else Compare(path, "=", True)


def _is_false(_: Expr, variant: Any, table: LogicalTable) -> Predicate:
    path = path_of(variant.expr(), table)
    return ANYTHING if path is None else Compare(path, "=", False)


_READERS: dict[str, Any] = {
    "BinaryExpr": _comparison,
    "InList": _in_list,
    "Like": _like,
    "ScalarFunction": _function,
    "IsNull": _is_null,
    "IsNotNull": _is_not_null,
    "Column": _is_true,
    "Not": _is_false,
}
