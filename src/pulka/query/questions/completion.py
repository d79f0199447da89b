"""What could be typed next in a search, with values that events have."""

from collections import Counter

from pulka.errors import LimitExceeded, Temporary
from pulka.query.names import quote
from pulka.query.questions.answers import Asked, quoted
from pulka.query.schema import LogicalTable
from pulka.query.search.complete import Completion, complete, wanted_values

__all__ = ["completion"]

_EVENTS = 20_000
_FEW = 50
_LONGEST_CHARS = 200


async def completion(asked: Asked, table: LogicalTable, text: str, position: int) -> Completion:
    """Suggestions for the word at `position`, in characters; values are those of the newest events that have the field."""
    wanted = wanted_values(text, position, table)
    return complete(text, position, table, await _values(asked, table.name, *wanted) if wanted else ())


async def _values(asked: Asked, table: str, field: str, beginning: str) -> list[str]:
    """The most frequent first; none of a field whose values hardly repeat, or when it takes longer than a reader waits."""
    value = f"CAST({quote(field)} AS VARCHAR)"
    condition = f"starts_with({value}, {quoted(beginning)})" if beginning else f"{quote(field)} IS NOT NULL"
    sql = f"SELECT {value} AS value FROM {quote(table)} WHERE {condition} ORDER BY timestamp DESC LIMIT {_EVENTS}"  # noqa: S608 - names and literals quoted
    try:
        found = Counter(row["value"] for row in await asked.rows(sql, rows_max=_EVENTS))
    except (LimitExceeded, Temporary):
        return []
    if len(found) > max(_FEW, found.total() // 2):
        return []
    return [one for one, _ in found.most_common(_FEW) if len(one) <= _LONGEST_CHARS]
