"""GET /api/v1/context: the events around one."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pulka.model.moments import moment_ns
from pulka.query.questions.context import context
from pulka.surfaces.http.gone import unless_gone
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.selections import Search, SelectionBody, Sql, TableName, answer, asked, selection_of, table_of
from pulka.surfaces.http.services import ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["questions"])
_Count = Annotated[int, Query(ge=0, le=1000)]


@router.get("/api/v1/context", responses=RESPONSES)
async def events_around(
    request: Request,
    services: ServicesOf,
    tenant: TenantOf,
    at: Annotated[str, Query(max_length=40, description="The moment: RFC 3339, to the nanosecond")],
    table: TableName = "logs",
    where: Sql = None,
    search: Search = None,
    before: _Count = 10,
    after: _Count = 10,
) -> Response:
    """Show the events just before and after a moment, of the same service or host if a condition says so."""
    known = await table_of(table, services, tenant)
    chosen = await selection_of(SelectionBody(where=where, search=search), known, services)
    moment = moment_ns(at, services.clock.now_ns())
    return answer(await unless_gone(request, context(asked(services, tenant), known.name, moment, chosen.where, before, after)))
