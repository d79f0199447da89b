"""What could be typed next: fields, operators and values for the word at the cursor."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal as OneOf

from pulka.query.names import unique_match
from pulka.query.schema import LogicalField, LogicalTable
from pulka.query.search.fields import LEVELS, aliases, is_level
from pulka.query.search.lexer import Token, tokens
from pulka.query.search.literals import literal
from pulka.query.search.nodes import Span
from pulka.query.search.parser import PRESENCE
from pulka.query.search.printer import field_text, value_text

__all__ = ["Completion", "Place", "Suggestion", "complete", "place", "wanted_values"]

_SUGGESTIONS_MAX = 50
_WORDS = ("word", "phrase", "regex", "and", "or", "not", "to")
_BEFORE_TERMS = ("field", "and", "or", "not", "-", "(")
_JOINING = ("AND", "OR", "NOT")
_OPERATORS = {
    "i64": (">=", "<=", ">", "<", "["), "f64": (">=", "<=", ">", "<", "["), "timestamp": (">=", "<=", "["), "bool": (), "str": ("*", "/"), "json": ("*", "/"),
}  # fmt: skip
_FIXED_VALUES = {"bool": ("true", "false"), "timestamp": ("now", "now-15m", "now-1h", "now-1d")}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text to put in place of the span, what it is, and a word about it."""

    text: str
    kind: OneOf["field", "operator", "value", "keyword"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """Suggestions for the characters of `span`, best first."""

    span: Span
    suggestions: tuple[Suggestion, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """What the cursor is at: the characters to replace, those of them before the cursor, and the field whose value they are."""

    span: Span
    prefix: str
    expects: OneOf["term", "name", "value", "nothing"]
    field: str = ""
    starts: bool = True


def complete(text: str, position: int, table: LogicalTable, values: Sequence[str] = ()) -> Completion:
    """Suggestions at `position`, in characters; `values` are what `wanted_values` asks for, the best first."""
    at = place(text, position)
    match at.expects:
        case "term":
            keywords = _keywords(at)
            found = [*_fields(at.prefix, table, ":")[: _SUGGESTIONS_MAX - len(keywords)], *keywords]
        case "name":
            found = _fields(at.prefix, table, "")
        case "value":
            found = _values(at, table, values)
        case "nothing":
            found = []
    return Completion(at.span, tuple(found[:_SUGGESTIONS_MAX]))


def wanted_values(text: str, position: int, table: LogicalTable) -> tuple[str, str] | None:
    """The path of the field whose values are needed to complete, and how they begin; None where there is nothing to look up."""
    at = place(text, position)
    field = _field_of(at, table) if at.expects == "value" else None
    return None if field is None or _fixed_values(field) else (field.path, at.prefix)


def place(text: str, position: int) -> Place:
    """What is expected at `position`. The part of the word behind the cursor is to be replaced too."""
    *before, end = tokens(text[:position])
    token = before.pop() if before and before[-1].kind in _WORDS and _touches(before[-1], position) else end
    whole = next((one for one in tokens(text) if one.span[0] == token.span[0]), token)
    span = (token.span[0], max(whole.span[1], position)) if token is not end else (position, position)
    return Place(span, token.text, _expected(token), token.of.text if token.of else "", not before or before[-1].kind in _BEFORE_TERMS)


def _touches(token: Token, position: int) -> bool:
    return token.span[1] == position and not (token.quoted and token.closed)


def _expected(token: Token) -> OneOf["term", "name", "value", "nothing"]:
    if token.kind == "regex":
        return "nothing"
    if token.of:
        return "name" if not token.of.quoted and token.of.text in PRESENCE else "value"
    return "nothing" if token.kind == "phrase" else "term"


def _fields(prefix: str, table: LogicalTable, colon: str) -> list[Suggestion]:
    """Fields that begin with the prefix, then those that have it elsewhere; aliases behind fields."""
    names = {path: field.type for path, field in table.fields.items()} | {alias: f"= {path}" for alias, path in aliases(table).items()}
    return [Suggestion(field_text(name) + colon, "field", names[name]) for name in _ranked(prefix, names)]


def _ranked(prefix: str, names: Iterable[str]) -> list[str]:
    wanted = prefix.lower()
    known = list(names)
    first = [name for name in known if name.lower().startswith(wanted)]
    return first + [name for name in known if wanted in name.lower() and not name.lower().startswith(wanted)]


def _keywords(at: Place) -> list[Suggestion]:
    joining = _JOINING if not at.starts else ("NOT",)
    return [Suggestion(word, "keyword") for word in ("has:", "missing:", *joining) if word.lower().startswith(at.prefix.lower())]


def _field_of(at: Place, table: LogicalTable) -> LogicalField | None:
    path = unique_match(at.field, table.fields) or aliases(table).get(at.field.lower())
    return None if path is None else table.fields[path]


def _values(at: Place, table: LogicalTable, values: Sequence[str]) -> list[Suggestion]:
    field = _field_of(at, table)
    if field is None:
        return []
    operators = _OPERATORS[field.type] if at.starts and not at.prefix else ()
    known = _ranked(at.prefix, _fixed_values(field)) or list(values)
    written = [Suggestion(value_text(literal(value, quoted=field.type == "str")), "value") for value in known]
    return [*written, *(Suggestion(operator, "operator", field.type) for operator in operators)]


def _fixed_values(field: LogicalField) -> tuple[str, ...]:
    return tuple(names[0] for names in LEVELS) if is_level(field) else _FIXED_VALUES.get(field.type, ())
