"""Values as text and as SQL: which texts are numbers, networks or durations, and the literal a field's type makes of one."""

import re

from pulka.query.search.nodes import NOWHERE, Literal, Span

__all__ = ["NETWORK", "NUMBER", "literal", "quoted"]

NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
NETWORK = re.compile(r"[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]*/\d{1,3}")


def literal(text: str, *, quoted: bool = False, span: Span = NOWHERE) -> Literal:
    """A value; that it was quoted matters only where it would be read as a number or a network otherwise."""
    return Literal(text, quoted and bool(NUMBER.fullmatch(text) or NETWORK.fullmatch(text)), span)


def quoted(text: str) -> str:
    """`text` as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
