"""What a filter says of single fields, in a form that statistics can answer.

Every kind is a necessary condition: a row that the filter is true of satisfies it. What is not understood is `Anything`.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = [
    "ANYTHING", "All", "AnyOf", "Anything", "Compare", "Contains", "IsNull", "Like", "Predicate", "Prefix", "TextMatch", "conjuncts",
]  # fmt: skip


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

    @property
    def like(self) -> "Like":
        """The same as a pattern."""
        return Like(self.path, (self.prefix, ""))


@dataclass(frozen=True, slots=True)
class Contains:
    """The text of `path` has `text` somewhere in it; with `ignore_case`, in any case."""

    path: str
    text: str
    ignore_case: bool = False

    @property
    def like(self) -> "Like":
        """The same as a pattern."""
        return Like(self.path, ("", self.text, ""), self.ignore_case)


@dataclass(frozen=True, slots=True)
class Like:
    """The text of `path` is `pieces` in this order with any text between them: a pattern of LIKE, split at its wildcards.

    So the first piece begins the text and the last one ends it; an empty one there says nothing.
    """

    path: str
    pieces: tuple[str, ...]
    ignore_case: bool = False

    @property
    def like(self) -> "Like":
        """The same as a pattern."""
        return self


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


TextMatch: TypeAlias = Prefix | Contains | Like
"""Conditions on text; each has the general form `like`."""
Predicate: TypeAlias = Anything | Compare | TextMatch | IsNull | All | AnyOf
ANYTHING = Anything()


def conjuncts(predicate: Predicate) -> tuple[Predicate, ...]:
    """The parts that must all be true."""
    return predicate.parts if isinstance(predicate, All) else (predicate,)
