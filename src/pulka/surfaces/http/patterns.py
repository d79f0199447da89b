"""/api/v1/patterns: what kinds of messages there are."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from pulka.query.questions.patterns import patterns
from pulka.surfaces.http.gone import unless_gone
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.selections import (
    End,
    Search,
    SelectionBody,
    Sql,
    Start,
    TableName,
    answer,
    asked,
    field_of,
    selection_of,
    table_of,
)
from pulka.surfaces.http.services import Services, ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["questions"])
_Field = Annotated[str, Field(max_length=1000, description="The text to find patterns in")]
_Limit = Annotated[int, Field(ge=1, le=1000, description="Patterns at most")]


class PatternsBody(SelectionBody):
    """Events, and the field whose texts are looked at."""

    table: TableName = "logs"
    field: _Field = "message"
    limit: _Limit = 50


@router.post("/api/v1/patterns", responses=RESPONSES)
async def find_patterns(request: Request, body: PatternsBody, services: ServicesOf, tenant: TenantOf) -> Response:
    """Find the templates of a selection's messages, the most frequent first."""
    return await unless_gone(request, _answer(body, services, tenant))


@router.get("/api/v1/patterns", responses=RESPONSES)
async def find_patterns_by_url(
    request: Request,
    services: ServicesOf,
    tenant: TenantOf,
    table: TableName = "logs",
    field: _Field = "message",
    where: Sql = None,
    search: Search = None,
    start: Start = None,
    end: End = None,
    limit: _Limit = 50,
) -> Response:
    """Find the templates of a selection's messages, given in the URL."""
    body = PatternsBody(table=table, field=field, where=where, search=search, start=start, end=end, limit=limit)
    return await unless_gone(request, _answer(body, services, tenant))


async def _answer(body: PatternsBody, services: Services, tenant: str) -> Response:
    table = await table_of(body.table, services, tenant)
    chosen = await selection_of(body, table, services)
    found = await patterns(asked(services, tenant, chosen.window), table.name, field_of(body.field, table), chosen, body.limit)
    return answer(found)
