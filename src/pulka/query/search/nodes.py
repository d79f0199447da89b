"""What a search says, as a tree. Positions are carried along but are no part of what is equal."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal as OneOf
from typing import TypeAlias

__all__ = [
    "EVERYTHING", "NOWHERE", "And", "Compare", "Comparison", "Everything", "Field", "Has", "Literal", "Match", "Node", "Not", "Or",
    "Pattern", "Range", "Regex", "Span", "Value", "Wildcard", "all_of", "any_of",
]  # fmt: skip

Span: TypeAlias = tuple[int, int]
"""First character and the one behind the last, counted from 0."""
NOWHERE: Span = (0, 0)
Comparison = OneOf[">=", ">", "<=", "<"]


class Wildcard(Enum):
    """What a pattern leaves open."""

    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it was written; `fields.py` says which one of the table is meant."""

    name: str
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value without wildcards. `verbatim`: it looks like a number or a network, but was quoted, so it is text."""

    text: str
    verbatim: bool = False
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text with wildcards: at least one, no two `ANY` and no two texts side by side."""

    parts: tuple[str | Wildcard, ...]
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression of the engine (Rust's `regex`); it may match anywhere in the text."""

    expression: str
    span: Span = field(default=NOWHERE, compare=False)


Value: TypeAlias = Literal | Pattern | Regex


@dataclass(frozen=True, slots=True)
class Everything:
    """True of every event."""


@dataclass(frozen=True, slots=True)
class Has:
    """The event has the field."""

    field: Field


@dataclass(frozen=True, slots=True)
class Match:
    """The field is the value; without a field, the table's text has the value somewhere in it."""

    field: Field | None
    value: Value


@dataclass(frozen=True, slots=True)
class Compare:
    """The field stands in this order to the value."""

    field: Field
    op: Comparison
    value: Literal


@dataclass(frozen=True, slots=True)
class Range:
    """The field lies between two bounds; None is open."""

    field: Field
    low: Literal | None
    high: Literal | None
    low_included: bool = True
    high_included: bool = True


@dataclass(frozen=True, slots=True)
class Not:
    """The part is not true of the event, be it false or about a field that the event lacks."""

    part: "Node"


@dataclass(frozen=True, slots=True)
class And:
    """Every part is true: at least two, none of them an `And`."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part is true: at least two, none of them an `Or`."""

    parts: tuple["Node", ...]


Node: TypeAlias = Everything | Has | Match | Compare | Range | Not | And | Or
EVERYTHING = Everything()


def all_of(parts: list[Node]) -> Node:
    """One node that is true where all `parts` are."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, And) else (part,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(parts: list[Node]) -> Node:
    """One node that is true where one of `parts` is."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Or) else (part,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))
