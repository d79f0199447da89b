"""Which queries are to run apart: those whose work is not in proportion to their text or to what they read."""

import re
from collections import Counter
from collections.abc import Sequence
from math import prod

from pulka.query.binding import Prepared
from pulka.query.source import Source

__all__ = ["grows", "lingers", "multiplies"]

_GROWING = re.compile(
    r"\brecursive\b|\|\||"
    r"\b(repeat|[lr]pad|range|generate_series|(?:array|list)_(?:repeat|resize|concat|cat)|replace|regexp_replace|overlay|concat(?:_ws)?)"
    r"[\"`]?\s*(?:\(|/\*|--)", re.I,
)  # fmt: skip
_HARMLESS = ("||", "concat", "concat_ws", "replace", "regexp_replace")
"""A few of them make little."""
_HARMLESS_MAX = 4
_PER_GROUP = re.compile(r"\b(?:patterns|quantile_sketch|merge_sketches)\s*\(", re.I)
_GROUPED = re.compile(r"\b(?:group\s+by|over|distinct)\b", re.I)
_OPERATOR = re.compile(r"[-+*/%]|\|\||\b(?:and|or)\b", re.I)
_OPERATORS_MAX = 600
_OPERATORS_SURE = 1500
"""Texts have dashes too, but where a text ends is for the parser to say."""
_TEXT = re.compile(r"'(?:[^']|'')*'")
_CTE = re.compile(r"(\w+)\s*(?:\([^()]*\)\s*)?as\s*(?:(?:not\s+)?materialized\s*)?\(", re.I)
_COPIES_MAX = 64
_TEXT_MAX = 1 << 16
_PAIRS_MAX = 10_000_000
_SLOW = re.compile(r"\bdistinct\b|\b(?:array_agg|string_agg|median|regexp_\w+)\s*\(|~", re.I)
_SLOW_ROWS_MIN = 1 << 18


def grows(statement: str) -> bool:
    """Whether it may take more than its text shows: functions that make much of little, clauses that are copied, long chains of
    operators (planning is quadratic in them, and past a few thousand the stack ends), aggregates whose memory is not the engine's.
    """
    found = [(match[1] or match[0]).lower() for match in _GROWING.finditer(statement)]
    harmless = sum(one in _HARMLESS for one in found)
    if len(statement) > _TEXT_MAX or len(found) > harmless or harmless > _HARMLESS_MAX or _copies(statement) > _COPIES_MAX:
        return True
    if _PER_GROUP.search(statement) and _GROUPED.search(statement):
        return True
    operators = len(_OPERATOR.findall(statement))
    return operators > _OPERATORS_SURE or (operators > _OPERATORS_MAX and len(_OPERATOR.findall(_TEXT.sub("", statement))) > _OPERATORS_MAX)


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


def lingers(prepared: Prepared, sources: Sequence[Source]) -> bool:
    """Whether DataFusion goes on with it for longer than anybody should wait for its end, a fifth of a second.

    It rests when it waits for a file, or after 128 batches, which are a million rows: a second for regular expressions and distinct
    texts. It does not rest while it sorts what it has in memory. Considered: to ask for each batch whether the query is over, in a filter
    below (sorts do not come to it, and it costs), and smaller batches (regular expressions are compiled anew for each of them).
    """
    return any(source.rows >= _SLOW_ROWS_MIN and (prepared.sorts or _is_slow(prepared.sql, source)) for source in sources)


def _is_slow(sql: str, source: Source) -> bool:
    reads_text = any(source.use.table.fields[path].type == "str" for path in source.use.columns)
    return reads_text and _SLOW.search(sql) is not None
