"""What the questions have in common: a table, a selection in SQL or in the search syntax, a window, limits."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from pulka.errors import BadInput, NotFound
from pulka.model.windows import TimeRange
from pulka.query.messages import near
from pulka.query.names import check_condition, unique_match
from pulka.query.questions.answers import Asked
from pulka.query.questions.selection import Selection
from pulka.query.schema import LogicalTable, logical_tables
from pulka.query.search import parse
from pulka.query.search.sql import condition
from pulka.seams import Limits, QueryStats
from pulka.surfaces.http.moments import time_range
from pulka.surfaces.http.services import Services

__all__ = [
    "End", "LimitsBody", "Search", "SelectionBody", "Sql", "Start", "TableName", "answer", "asked", "field_of", "limits_of", "selection_of",
    "table_of", "window_of",
]  # fmt: skip

_NO_NUL = r"^[^\x00]*$"
_MOMENT = "RFC 3339, `now`, or a distance back from now such as 15m, 1h, 7d"
_CONDITION_MAX = 1 << 15  # characters; a URL may have 64 KiB
TableName = Annotated[str, Field(min_length=1, max_length=63, pattern=_NO_NUL)]
Sql = Annotated[str | None, Field(min_length=1, max_length=_CONDITION_MAX, pattern=_NO_NUL, description="A boolean SQL expression over the table's fields; or give `search`")]
Search = Annotated[str | None, Field(max_length=_CONDITION_MAX, pattern=_NO_NUL, description="The search syntax of docs/search.md; or give `where`")]
Start = Annotated[str | None, Field(max_length=40, description=_MOMENT)]
End = Annotated[str | None, Field(max_length=40, description=_MOMENT)]


class SelectionBody(BaseModel):
    """Events of a table: those that a condition or a search is true of, within a window. A missing side is open."""

    model_config = ConfigDict(extra="forbid")

    where: Sql = None
    search: Search = None
    start: Start = None
    end: End = None


class LimitsBody(BaseModel):
    """Bounds of this question; the server's own settings where missing."""

    model_config = ConfigDict(extra="forbid")

    memory_bytes: Annotated[int | None, Field(gt=0, lt=1 << 63)] = None
    time_s: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None


def limits_of(body: LimitsBody) -> Limits:
    """The limits as the engine takes them."""
    return Limits(body.memory_bytes, body.time_s)


async def table_of(name: str, services: Services, tenant: str) -> LogicalTable:
    """The tenant's table, as it is now. NotFound names the nearest."""
    fresh = services.fresh.fresh_fields(tenant) if services.fresh else {}
    tables = logical_tables(await services.catalog.tables(tenant), fresh)
    if name not in tables:
        raise NotFound(f"there is no table `{name[:80]}`", hint=near(name[:80], tables, "your tables"))
    return tables[name]


def field_of(name: str, table: LogicalTable) -> str:
    """The path of a field, which may be written in another case. NotFound names the nearest."""
    path = unique_match(name, table.fields)
    if path is None:
        raise NotFound(f"there is no field `{name[:80]}` in `{table.name}`", hint=near(name[:80], table.fields, "fields"))
    return path


def window_of(start: str | None, end: str | None, services: Services) -> TimeRange:
    """The window that two moments say."""
    return time_range(start, end, services.clock.now_ns())


async def selection_of(body: SelectionBody, table: LogicalTable, services: Services, outer: TimeRange = TimeRange()) -> Selection:  # noqa: B008 - immutable
    """What a body selects; sides that it leaves open are those of `outer`."""
    own = window_of(body.start, body.end, services)
    start = outer.start_ns if own.start_ns is None else own.start_ns
    window = TimeRange(start, outer.end_ns if own.end_ns is None else own.end_ns)
    if body.where is not None and body.search is not None:
        raise BadInput("give either `where` or `search`, not both", hint='as in {"search": "service:web status:error"}')
    if body.search is not None:
        now_ns = services.clock.now_ns()
        return Selection(await asyncio.to_thread(lambda: condition(parse(body.search or ""), table, now_ns)), window)
    return Selection("TRUE" if body.where is None else check_condition(body.where), window)


def asked(services: Services, tenant: str, window: TimeRange = TimeRange(), limits: Limits = Limits()) -> Asked:  # noqa: B008 - immutable
    """Questions in SQL within a window."""
    return Asked(services.engine, tenant, window, limits)


def answer(value: dict[str, Any]) -> Response:
    """JSON, with statistics as every result has them."""
    return Response(msgspec.json.encode(value, enc_hook=_encoded), media_type="application/json")


def _encoded(value: Any) -> Any:
    return asdict(value) if isinstance(value, QueryStats) else str(value)
