"""`search(message, 'timeout -debug')`, and `search('service:web timeout')` with the whole search syntax: conditions within SQL.

They become the SQL that a search becomes, so they mean the same and are pruned by the same filters.
"""

from collections.abc import Mapping

from pulka.errors import BadQuery
from pulka.query.functions.literals import text
from pulka.query.names import quote
from pulka.query.schema import LogicalField, LogicalTable
from pulka.query.search.parser import parse
from pulka.query.search.sql import condition

__all__ = ["search"]

_USAGE = "search(message, 'connection reset')"
_ANY = "\x1f"


def search(given: list[str], tables: Mapping[str, LogicalTable], now_ns: int) -> str:
    """The condition that a search says, of a field's words or of a whole event."""
    match given:
        case [query]:
            return f"({condition(parse(text(query, _USAGE)), _only(tables), now_ns)})"
        case [field, query]:
            return _of_field(field, text(query, _USAGE))
    raise BadQuery("search takes a field and words", hint=f"as in {_USAGE}")


def _only(tables: Mapping[str, LogicalTable]) -> LogicalTable:
    if len(tables) != 1:
        raise BadQuery("search with one argument is about one table, and this query names several", hint=f"name the field: {_USAGE}")
    return next(iter(tables.values()))


def _of_field(field: str, query: str) -> str:
    """The words are looked for in a field of a name that nothing else has, which then gives way to what was written."""
    if _ANY in query:
        raise BadQuery("a search is text without control characters", hint=f"as in {_USAGE}")
    try:
        sql = condition(parse(query), LogicalTable("logs", {}), text=LogicalField(_ANY, "str", frozenset({"str"})))
    except BadQuery as error:
        raise BadQuery(error.message, hint=f"with a field named first, only words: {_USAGE}") from error
    return f"({sql.replace(quote(_ANY), field)})"
