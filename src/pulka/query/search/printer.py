"""A tree as text: `parse(to_text(tree)) == tree`."""

import re

from pulka.query.search.lexer import KEYWORDS
from pulka.query.search.literals import NETWORK, NUMBER
from pulka.query.search.nodes import (
    And,
    Compare,
    Everything,
    Has,
    Literal,
    Match,
    Node,
    Not,
    Or,
    Pattern,
    Range,
    Regex,
    Value,
    Wildcard,
)

__all__ = ["field_text", "to_text", "value_text"]

_PLAIN_NAME = re.compile(r"[^\W\d][\w.@-]*|@[\w.@-]+")
_PLAIN_VALUE = re.compile(r"[\w.+@%$#~=,][\w.+@%$#~=,:/-]*")
_PLAIN_WORD = re.compile(r"[\w.+@%$#~=,][\w.+@%$#~=,/-]*")
_UNESCAPED = "_.+@%$#~=,:/-"
_NOT_NAMES = ("has", "missing", "_exists_")


def to_text(node: Node) -> str:
    """The search that says `node`, in its canonical form."""
    match node:
        case Everything():
            return "*"
        case Has(field):
            return f"has:{field_text(field.name)}"
        case Match(None, value):
            return _word(value)
        case Match(field, value):
            return f"{field_text(field.name)}:{value_text(value)}"  # type: ignore[union-attr]  # not None any more
        case Compare(field, op, value):
            return f"{field_text(field.name)}:{op}{value_text(value)}"
        case Range():
            return _range(node)
        case Not(part):
            return "-" + (f"({to_text(part)})" if isinstance(part, And | Or | Not) else to_text(part))
        case And(parts):
            return " ".join(f"({to_text(part)})" if isinstance(part, Or) else to_text(part) for part in parts)
        case Or(parts):
            return " OR ".join(f"({to_text(part)})" if isinstance(part, And) else to_text(part) for part in parts)


def field_text(name: str) -> str:
    """The name of a field as it is written before a colon."""
    return name if _PLAIN_NAME.fullmatch(name) and name not in _NOT_NAMES else _phrase(name)


def value_text(value: Value) -> str:
    """A value as it is written behind a colon."""
    match value:
        case Literal(text, verbatim):
            bare = NUMBER.fullmatch(text) or NETWORK.fullmatch(text) or (_PLAIN_VALUE.fullmatch(text) and text.upper() not in KEYWORDS)
            return text if bare and not verbatim else _phrase(text)
        case Pattern(parts):
            return _pattern(parts)
        case Regex(expression):
            return _regex(expression)


def _word(value: Value) -> str:
    match value:
        case Literal(text):
            return text if _PLAIN_WORD.fullmatch(text) and text.upper() not in KEYWORDS else _phrase(text)
        case Pattern(parts):
            written = _pattern(parts).replace(":", "\\:")
            return f"\\{written}" if written.startswith("-") else written
        case Regex(expression):
            return _regex(expression)


def _range(node: Range) -> str:
    low, high = ("*" if bound is None else value_text(bound) for bound in (node.low, node.high))
    opening, closing = "[" if node.low_included else "{", "]" if node.high_included else "}"
    return f"{field_text(node.field.name)}:{opening}{low} TO {high}{closing}"


def _phrase(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pattern(parts: tuple[str | Wildcard, ...]) -> str:
    written = "".join(_escaped(part) if isinstance(part, str) else part.value for part in parts)
    second_slash = written.find("/", 1)
    reads_as_regex = written.startswith("/") and (second_slash < 0 or second_slash == len(written) - 1)
    return f"\\{written}" if reads_as_regex else written


def _escaped(text: str) -> str:
    return "".join(char if char.isalnum() or char in _UNESCAPED else f"\\{char}" for char in text)


def _regex(expression: str) -> str:
    pieces = re.findall(r"\\.|.|\\", expression, re.S)
    return "/" + "".join("\\/" if piece == "/" else piece for piece in pieces) + "/"
