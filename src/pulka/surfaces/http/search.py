"""A search in a request becomes the SQL that answers it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pulka.errors import BadInput
from pulka.query.search import Order, to_sql
from pulka.surfaces.http.selections import table_of
from pulka.surfaces.http.services import Services

__all__ = ["ROWS", "SQL_HEADER", "Search", "sql_header", "sql_of"]

ROWS = 1000
"""Events that a search finds when the request names no limit."""
SQL_HEADER = "Pulka-SQL"
_HEADER_BYTES_MAX = 4096  # proxies refuse much more than that
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


@dataclass(frozen=True, slots=True)
class Search:
    """What a request asks for beside, or instead of, SQL."""

    text: str | None
    table: str
    columns: Sequence[str]
    order: Order
    limit: int


async def sql_of(sql: str | None, search: Search, services: Services, tenant: str) -> str:
    """The SQL given, or that of the search given; BadInput when it is not exactly one of them."""
    if (sql is None) == (search.text is None):
        raise BadInput("a question is either `sql` or `search`", hint='as in {"search": "service:web status:error"}')
    if sql is not None:
        return sql
    table = await table_of(search.table, services, tenant)
    return await asyncio.to_thread(
        to_sql, search.text or "", table, columns=search.columns, order=search.order, limit=search.limit, now_ns=services.clock.now_ns()
    )


def sql_header(sql: str) -> dict[str, str]:
    """The SQL of a search as a header, percent-encoded where it is not printable ASCII; left out where it is long."""
    encoded = quote(sql, safe=_PRINTABLE)
    return {SQL_HEADER: encoded} if len(encoded) <= _HEADER_BYTES_MAX else {}
