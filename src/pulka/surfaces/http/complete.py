"""GET /api/v1/complete: what could be typed next in a search."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pulka.query.questions.completion import completion
from pulka.seams import Limits
from pulka.surfaces.http.gone import unless_gone
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.selections import End, Start, TableName, answer, asked, table_of, window_of
from pulka.surfaces.http.services import ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["questions"])
_PATIENCE = Limits(time_s=1.0)
_TEXT_MAX = 1 << 15


@router.get("/api/v1/complete", responses=RESPONSES)
async def complete_search(
    request: Request,
    services: ServicesOf,
    tenant: TenantOf,
    search: Annotated[str, Query(max_length=_TEXT_MAX, pattern=r"^[^\x00]*$", description="What is typed so far, in the search syntax of docs/search.md")] = "",
    position: Annotated[int | None, Query(ge=0, le=_TEXT_MAX, description="Where the cursor is, in characters from 0; at the end where missing")] = None,
    table: TableName = "logs",
    start: Start = "1h",
    end: End = None,
) -> Response:
    """What could be typed next in a search: fields, operators, values of the newest events, keywords; `span` is what a suggestion replaces."""
    known = await table_of(table, services, tenant)
    at = len(search) if position is None else min(position, len(search))
    questions = asked(services, tenant, window_of(start, end, services), _PATIENCE)
    found = await unless_gone(request, completion(questions, known, search, at))
    suggestions = [{"text": one.text, "kind": one.kind, "detail": one.detail} for one in found.suggestions]
    return answer({"span": found.span, "suggestions": suggestions})
