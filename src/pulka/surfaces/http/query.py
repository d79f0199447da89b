"""Questions: /api/v1/query answers SQL or a search as a stream, /api/v1/explain says how it would be answered."""

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from dataclasses import replace
from typing import Annotated, Any, cast

import msgspec
import pyarrow as pa
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from pulka.model.windows import TimeRange
from pulka.query.queries import check_query_id
from pulka.query.search import Order
from pulka.seams import Limits, Result
from pulka.surfaces.http.gone import unless_gone
from pulka.surfaces.http.moments import time_range
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.results import MEDIA_TYPES, Format, choose_format, encode
from pulka.surfaces.http.search import ROWS, SQL_HEADER, Search, sql_header, sql_of
from pulka.surfaces.http.services import Services, ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["query"])
_Batches = AsyncGenerator[pa.RecordBatch, None]

_Moment = Annotated[str | None, Field(description="RFC 3339, `now`, or a distance back from now such as 15m, 1h, 7d")]
_MemoryBytes = Annotated[int | None, Field(gt=0, lt=1 << 63)]
_TimeS = Annotated[float | None, Field(gt=0, allow_inf_nan=False)]
_Rows = Annotated[int | None, Field(ge=0, lt=1 << 63)]
_SQL = Annotated[str | None, Field(min_length=1, description="One SELECT; or give `search`")]
_Search = Annotated[str | None, Field(description="The search syntax of docs/search.md; or give `sql`")]
_Table = Annotated[str, Field(description="Of a search: the table it is about")]
_Columns = Annotated[list[str], Field(description="Of a search: the fields to show; all where none is named")]
_Order = Annotated[Order, Field(description="Of a search: by time, or as found")]
_Limit = Annotated[int, Field(ge=1, lt=1 << 63, description="Of a search: how many events at most")]
_ID_HEADER = "Pulka-Query-Id"
_QueryId = Annotated[str, Header(alias=_ID_HEADER, max_length=64, description="To look at the query and cancel it while it runs; made up where missing")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WindowBody(_Body):
    """The events a question is about; a missing side is open."""

    start: _Moment = None
    end: _Moment = None


class LimitsBody(_Body):
    """Bounds of this query; the server's own settings where missing."""

    memory_bytes: _MemoryBytes = None
    time_s: _TimeS = None
    rows: _Rows = None


class ExplainBody(_Body):
    """A question, in SQL or in the search syntax."""

    sql: _SQL = None
    search: _Search = None
    table: _Table = "logs"
    columns: _Columns = []
    order: _Order = "newest"
    limit: _Limit = ROWS
    window: WindowBody = WindowBody()

    def to_search(self) -> Search:
        """The search and what goes with it."""
        return Search(self.search, self.table, self.columns, self.order, self.limit)


class QueryBody(ExplainBody):
    """A question and how to answer it."""

    limits: LimitsBody = LimitsBody()
    format: Annotated[Format | None, Field(description="Accept decides where missing")] = None


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows, then statistics",
        "headers": {
            SQL_HEADER: {"description": "The SQL of a search, percent-encoded", "schema": {"type": "string"}},
            _ID_HEADER: {"description": "The id of the query", "schema": {"type": "string"}},
        },
        "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
    }
}


@router.post("/api/v1/query", responses=_ANSWERS | RESPONSES, response_class=Response)
async def query(request: Request, body: QueryBody, services: ServicesOf, tenant: TenantOf, query_id: _QueryId = "") -> Response:
    """Run one SELECT, or a search, over the tenant's tables and stream the result."""
    limits = Limits(body.limits.memory_bytes, body.limits.time_s, body.limits.rows)
    window = _window(body.window, services)
    return await _answer(request, services, tenant, (body.sql, body.to_search()), window, limits, body.format, query_id)


@router.get("/api/v1/query", responses=_ANSWERS | RESPONSES, response_class=Response)
async def query_by_url(
    request: Request,
    services: ServicesOf,
    tenant: TenantOf,
    sql: _SQL = None,
    search: _Search = None,
    table: _Table = "logs",
    columns: Annotated[list[str], Query(description="Of a search: the fields to show; all where none is named")] = [],  # noqa: B006
    order: _Order = "newest",
    limit: _Limit = ROWS,
    start: _Moment = None,
    end: _Moment = None,
    memory_bytes: _MemoryBytes = None,
    time_s: _TimeS = None,
    rows: _Rows = None,
    format: Format | None = None,  # noqa: A002 - the name of the parameter
    query_id: _QueryId = "",
) -> Response:
    """Run one SELECT, or a search, given in the URL, so that a result can be a link."""
    window = time_range(start, end, services.clock.now_ns())
    question = (sql, Search(search, table, columns, order, limit))
    return await _answer(request, services, tenant, question, window, Limits(memory_bytes, time_s, rows), format, query_id)


@router.post("/api/v1/explain", responses=RESPONSES)
async def explain(request: Request, body: ExplainBody, services: ServicesOf, tenant: TenantOf) -> Response:
    """How the question would be answered: the plan and the pruning funnel."""
    sql = await sql_of(body.sql, body.to_search(), services, tenant)
    plan = await unless_gone(request, services.engine.explain(sql, tenant, _window(body.window, services)))
    return Response(msgspec.json.encode(plan, enc_hook=str), headers=_shown(body.sql, sql), media_type="application/json")


def _window(window: WindowBody, services: Services) -> TimeRange:
    return time_range(window.start, window.end, services.clock.now_ns())


async def _answer(
    request: Request, services: Services, tenant: str, question: tuple[str | None, Search], window: TimeRange, limits: Limits, named: Format | None, query_id: str
) -> Response:  # fmt: skip
    query_id = check_query_id(query_id) if query_id else ""
    sql = await sql_of(*question, services, tenant)
    chosen = choose_format(named, request.headers.get("accept", ""))
    if limits.rows is None:
        limits = replace(limits, rows=services.settings.query_rows_max)
    result, batches = await unless_gone(request, _begin(services.engine.run(sql, tenant, window, limits, query_id)))
    result.stats.sql = sql if question[0] is None else ""
    headers = {_ID_HEADER: result.stats.id, **_shown(question[0], sql)}
    return _Streamed(encode(result, chosen), batches, headers=headers, media_type=MEDIA_TYPES[chosen])


class _Streamed(StreamingResponse):
    """Ends the query however the response ends: a reader that hangs up leaves generators half-way, or never begun."""

    def __init__(self, content: AsyncIterator[bytes], batches: _Batches, **more: Any) -> None:
        super().__init__(content, **more)
        self._batches = batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._batches.aclose()


def _shown(given: str | None, sql: str) -> dict[str, str]:
    """The SQL that was run, where it is not what was given."""
    return sql_header(sql) if given is None else {}


async def _begin(run: Coroutine[Any, Any, Result]) -> tuple[Result, _Batches]:
    """The result with its first batch made already: most failures come before it and still get a status of their own."""
    result = await run
    rest = cast(_Batches, aiter(result.batches))
    first = await anext(rest, None)
    return Result(result.schema, _chain(first, rest), result.stats), rest


async def _chain(first: pa.RecordBatch | None, rest: AsyncIterator[pa.RecordBatch]) -> AsyncIterator[pa.RecordBatch]:
    if first is not None:
        yield first
    async for batch in rest:
        yield batch
