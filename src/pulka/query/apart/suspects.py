"""Which queries are to run apart: those whose work is not in proportion to their text or to what they read."""

import re
from collections import Counter
from collections.abc import Sequence
from math import prod

from pulka.query.binding import Prepared
from pulka.query.source import Source

__all__ = ["grows", "multiplies"]

_GROWING = re.compile(
    r"\b(?:recursive|repeat|[lr]pad|range|generate_series|(?:array|list)_(?:repeat|resize|concat|cat)|replace|regexp_replace|overlay|concat(?:_ws)?|space)\b"
    r"|\|\|", re.I,
)  # fmt: skip
_HARMLESS = re.compile(r"\|\||\bconcat(?:_ws)?\b|\breplace\b|\bregexp_replace\b", re.I)
_HARMLESS_MAX = 4
_CTE = re.compile(r"(\w+)\s*(?:\([^()]*\)\s*)?as\s*(?:(?:not\s+)?materialized\s*)?\(", re.I)
_COPIES_MAX = 64
_TEXT_MAX = 1 << 16
_PAIRS_MAX = 10_000_000


def grows(statement: str) -> bool:
    """Whether planning alone may take more than the text shows: functions that make much of little, clauses that are copied."""
    found = _GROWING.findall(statement)
    harmless = sum(_HARMLESS.fullmatch(one) is not None for one in found)
    return len(statement) > _TEXT_MAX or len(found) > harmless or harmless > _HARMLESS_MAX or _copies(statement) > _COPIES_MAX


def _copies(statement: str) -> int:
    """How often the first WITH clause may stand in the plan, each of them in the next."""
    words = Counter(re.findall(r"\w+", statement.lower()))
    return prod(max(1, words[name.lower()] - 1) for name in set(_CTE.findall(statement)))


def multiplies(prepared: Prepared, sources: Sequence[Source]) -> bool:
    """Whether a join may make more rows than a moment's work."""
    if not prepared.joins:
        return False
    rows = [source.rows ** max(1, len(source.use.scans)) for source in sources]
    return prepared.opaque or prod(max(1, count) for count in rows) > _PAIRS_MAX
