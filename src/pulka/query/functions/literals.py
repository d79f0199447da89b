"""Arguments that must be literals: macros are resolved before any row is read."""

import re

from pulka.errors import BadInput, BadQuery
from pulka.model.moments import duration_s

__all__ = ["text", "width_ns"]

_LITERAL = re.compile(r"'((?:[^']|'')*)'", re.S)
_SHORT = re.compile(r"(\d+)(ns|us|ms)")
_SHORT_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000}


def text(argument: str, usage: str) -> str:
    """What a string literal says; BadQuery shows how the function is used."""
    match = _LITERAL.fullmatch(argument)
    if match is None:
        raise BadQuery(f"a text in single quotes is needed: {usage}", hint=f"as in {usage}")
    return match[1].replace("''", "'")


def width_ns(argument: str, usage: str) -> int:
    """A duration such as `500ms`, `30s`, `5m`, `1h`, `1d` or `1w` in nanoseconds."""
    written = text(argument, usage)
    if short := _SHORT.fullmatch(written):
        width = int(short[1]) * _SHORT_NS[short[2]]
    else:
        try:
            width = int(duration_s(written) * 1_000_000_000)
        except BadInput:
            width = 0
    if not 0 < width < 1 << 62:
        raise BadQuery(f"a width is needed such as 500ms, 30s, 5m, 1h, 1d or 1w: {usage}", hint=f"as in {usage}")
    return width
