"""POST /api/v1/compare: which fields differ between two selections, ranked."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from pulka.query.questions.compare import Comparison, compare
from pulka.surfaces.http.gone import unless_gone
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.selections import (
    LimitsBody,
    SelectionBody,
    TableName,
    answer,
    field_of,
    limits_of,
    selection_of,
    table_of,
    window_of,
)  # fmt: skip
from pulka.surfaces.http.services import ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["questions"])


class CompareBody(LimitsBody):
    """Two selections of a table. Without a baseline it is every other event of the window."""

    table: TableName = "logs"
    selection: SelectionBody
    baseline: SelectionBody | None = None
    window: SelectionBody = SelectionBody()
    by: Annotated[str | None, Field(max_length=1000, description="Also within each value of this field, such as service")] = None
    skip: Annotated[tuple[str, ...], Field(max_length=1000, description="Fields to leave out")] = ()
    limit: Annotated[int, Field(ge=1, le=1000, description="Fields at most")] = 20
    values: Annotated[int, Field(ge=0, le=100, description="Values of each at most")] = 10


@router.post("/api/v1/compare", responses=RESPONSES)
async def compare_selections(request: Request, body: CompareBody, services: ServicesOf, tenant: TenantOf) -> Response:
    """Compare two selections: for every field how its values differ, ranked by effect."""
    table = await table_of(body.table, services, tenant)
    window = window_of(body.window.start, body.window.end, services)
    chosen = await selection_of(body.selection, table, services, window)
    others = chosen.others(window) if body.baseline is None else await selection_of(body.baseline, table, services, window)
    by = None if body.by is None else field_of(body.by, table)
    comparison = Comparison(body.table, chosen, others, by, body.skip, body.limit, body.values)
    limits = limits_of(LimitsBody(memory_bytes=body.memory_bytes, time_s=body.time_s))
    found = await unless_gone(request, compare(services.engine, comparison, tenant, limits, services.settings.summary_bytes_max))
    return answer({**found, "selection": chosen.sql(), "baseline": others.sql()})
