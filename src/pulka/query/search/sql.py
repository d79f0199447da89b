"""A tree to a condition of SQL, in forms that pruning reads: bare columns against literals, LIKE, IN.

Every part is true, false or null; `IS NOT TRUE` makes a negation true of events that lack the field.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TypeAlias

from datafusion import SessionContext

from pulka.query.messages import translate
from pulka.query.schema import LogicalField, LogicalTable
from pulka.query.search import fields
from pulka.query.search.errors import wrong
from pulka.query.search.literals import NETWORK, quoted
from pulka.query.search.nodes import (
    And,
    Compare,
    Comparison,
    Everything,
    Field,
    Has,
    Literal,
    Match,
    Node,
    Not,
    Or,
    Pattern,
    Range,
    Regex,
    Wildcard,
)  # fmt: skip
from pulka.query.search.typed import is_number, number_sql, value_sql

__all__ = ["condition"]

_Equality: TypeAlias = tuple[str, str]
_LIKE = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_WILDCARDS = {Wildcard.ANY: "%", Wildcard.ONE: "_"}


def condition(node: Node, table: LogicalTable, now_ns: int | None = None, text: LogicalField | None = None) -> str:
    """The condition that is true of the events `node` means; `now_ns` is what relative times count from, `text` the field that
    words are searched in if it is not the table's own.
    """
    return _Translator(table, now_ns, text).condition(node)


@dataclass(frozen=True, slots=True)
class _Translator:
    table: LogicalTable
    now_ns: int | None
    text: LogicalField | None = None

    def condition(self, node: Node) -> str:
        match node:
            case Everything():
                return "TRUE"
            case Has(field):
                return f"{self._column(self._field(field))} IS NOT NULL"
            case Match():
                return self._match(node)
            case Compare(field, op, value):
                return self._compare(self._field(field), op, value)
            case Range():
                return self._range(node)
            case Not(part):
                return self._negation(part)
            case And(parts):
                return " AND ".join(f"({self.condition(part)})" if isinstance(part, Or) else self.condition(part) for part in parts)
            case Or(parts):
                return self._alternatives(parts)

    def _field(self, field: Field) -> LogicalField:
        return fields.resolve(field, self.table)

    def _column(self, field: LogicalField) -> str:
        return fields.column(field, self.table)

    def _text(self, field: LogicalField) -> str:
        """The field as text."""
        column = self._column(field)
        return column if field.type in ("str", "json") else f"CAST({column} AS VARCHAR)"

    def _match(self, node: Match) -> str:
        field = self._text_field(node) if node.field is None else self._field(node.field)
        if node.field is None or field.path == "message":
            return self._contains(field, node.value)
        match node.value:
            case Literal():
                return self._equals(field, node.value)
            case Pattern(parts):
                self._check_has_text(field, node.value)
                operator = "ILIKE" if fields.without_case(field, self.table) else "LIKE"
                return f"{self._text(field)} {operator} {_like(parts)}"
            case Regex():
                self._check_has_text(field, node.value)
                return self._regex(field, node.value)

    def _text_field(self, node: Match) -> LogicalField:
        field = self.text or fields.text_field(self.table)
        if field is None:
            raise wrong(f"table `{self.table.name}` has no `message` to search words in", node.value.span, "name a field, as in field:value")
        return field

    def _contains(self, field: LogicalField, value: Literal | Pattern | Regex) -> str:
        """Somewhere in the text, in any case; a regular expression says itself where and how."""
        if isinstance(value, Regex):
            return self._regex(field, value)
        parts = (value.text,) if isinstance(value, Literal) else value.parts
        return f"{self._text(field)} ILIKE {_like((Wildcard.ANY, *parts, Wildcard.ANY))}"

    def _regex(self, field: LogicalField, value: Regex) -> str:
        expression = quoted(value.expression)
        try:
            SessionContext().sql(f"SELECT '' ~ {expression}").collect()
        except Exception as error:
            problem = translate(error, {})
            raise wrong(problem.message, value.span, problem.hint) from None
        return f"{self._text(field)} ~ {expression}"

    def _check_has_text(self, field: LogicalField, value: Pattern | Regex) -> None:
        if field.type in ("bool", "timestamp"):
            value_sql(Literal("", span=value.span), field, 0)  # says what the field takes

    def _equals(self, field: LogicalField, value: Literal) -> str:
        if (equality := self._equality(field, value)) is not None:
            return " = ".join(equality)
        if fields.is_level(field):
            return self._is_one_of(field, fields.level_names(value.text))
        if fields.without_case(field, self.table):
            return self._is_one_of(field, [value.text.lower()])
        return f"cidr_match({self._column(field)}, {quoted(value.text)})"

    def _equality(self, field: LogicalField, value: Literal) -> _Equality | None:
        """Column and literal, when it is their plain equality that is meant."""
        if fields.without_case(field, self.table) or (field.type in ("str", "json") and _is_network(value)):
            return None
        return self._column(field), value_sql(value, field, self.now_ns)

    def _is_one_of(self, field: LogicalField, names: Iterable[str]) -> str:
        return _one_of(f"lower({self._column(field)})", [quoted(name) for name in names])

    def _compare(self, field: LogicalField, op: Comparison, value: Literal) -> str:
        if op[0] == ">":
            return self._between(field, value, op == ">=", None, False)
        return self._between(field, None, False, value, op == "<=")

    def _range(self, node: Range) -> str:
        return self._between(self._field(node.field), node.low, node.low_included, node.high, node.high_included)

    def _between(self, field: LogicalField, low: Literal | None, low_included: bool, high: Literal | None, high_included: bool) -> str:
        if low is None and high is None:
            return f"{self._column(field)} IS NOT NULL"
        if fields.is_level(field):
            return self._is_one_of(field, _levels(low, low_included, high, high_included))
        column, literal = self._ordered(field, [bound for bound in (low, high) if bound is not None])
        bounds = [(low, ">=" if low_included else ">"), (high, "<=" if high_included else "<")]
        return " AND ".join(f"{column} {op} {literal(bound)}" for bound, op in bounds if bound is not None)

    def _ordered(self, field: LogicalField, bounds: list[Literal]) -> tuple[str, Callable[[Literal], str]]:
        """What to compare and how to write the bounds: text is compared as numbers where the bounds are numbers."""
        if field.type == "bool":
            raise wrong(f"`{field.path}` is true or false", bounds[0].span, "as in field:true")
        if field.type in ("str", "json") and all(is_number(bound) for bound in bounds):
            return f"TRY_CAST({self._column(field)} AS DOUBLE)", lambda bound: number_sql(bound, field.path)
        return self._column(field), lambda bound: value_sql(bound, field, self.now_ns)

    def _negation(self, part: Node) -> str:
        match part:
            case Has(field):
                return f"{self._column(self._field(field))} IS NULL"
            case Match(Field(), Literal()) if equality := self._plain(part):
                return f"({' IS DISTINCT FROM '.join(equality)})"  # the SQL parser takes all that follows for the right side
        return f"({self.condition(part)}) IS NOT TRUE"

    def _plain(self, part: Node) -> _Equality | None:
        """The column and literal of a plain equality."""
        if not (isinstance(part, Match) and part.field is not None and isinstance(part.value, Literal)):
            return None
        field = self._field(part.field)
        return None if field.path == "message" else self._equality(field, part.value)

    def _alternatives(self, parts: Iterable[Node]) -> str:
        """The parts joined by OR, with one IN for all values of a column."""
        values: dict[str, list[str]] = {}
        others: list[str] = []
        for part in parts:
            if (equality := self._plain(part)) is None:
                others.append(self.condition(part))
            else:
                values.setdefault(equality[0], []).append(equality[1])
        return " OR ".join([*(_one_of(column, literals) for column, literals in values.items()), *others])


def _one_of(column: str, literals: list[str]) -> str:
    match list(dict.fromkeys(literals)):
        case []:
            return "FALSE"
        case [literal]:
            return f"{column} = {literal}"
        case several:
            return f"{column} IN ({', '.join(several)})"


def _like(parts: Iterable[str | Wildcard]) -> str:
    return quoted("".join(part.translate(_LIKE) if isinstance(part, str) else _WILDCARDS[part] for part in parts))


def _is_network(value: Literal) -> bool:
    if value.verbatim or not NETWORK.fullmatch(value.text):
        return False
    try:
        ip_network(value.text, strict=False)
    except ValueError:
        return False
    return True


def _levels(low: Literal | None, low_included: bool, high: Literal | None, high_included: bool) -> list[str]:
    """The names of all levels between two."""
    first = 0 if low is None else _rank(low) + (not low_included)
    last = len(fields.LEVELS) - 1 if high is None else _rank(high) - (not high_included)
    return [name for names in fields.LEVELS[first : last + 1] for name in names]


def _rank(level: Literal) -> int:
    names = fields.level_names(level.text)
    if names not in fields.LEVELS:
        raise wrong("there is no such level", level.span, f"levels are {', '.join(names[0] for names in fields.LEVELS)}")
    return fields.LEVELS.index(names)
