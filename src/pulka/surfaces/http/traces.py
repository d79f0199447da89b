"""Spans put together: one trace, the services, and the map of who calls whom."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from pulka.query.questions.services import Fields, map_of
from pulka.query.questions.services import services as services_in
from pulka.query.questions.trace import trace
from pulka.surfaces.http.gone import unless_gone
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.selections import End, Start, answer, asked, table_of, window_of
from pulka.surfaces.http.services import Services, ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["traces"])
_Spans = Annotated[int, Query(ge=1, le=100_000, description="Spans at most")]


@router.get("/api/v1/trace/{trace_id}", responses=RESPONSES)
async def one_trace(
    request: Request,
    trace_id: Annotated[str, Path(max_length=200, pattern=r"^[^\x00]*$")],
    services: ServicesOf,
    tenant: TenantOf,
    start: Start = None,
    end: End = None,
    spans: _Spans = 10_000,
) -> Response:
    """Put one trace together: its spans as a tree in order, the time each takes itself, and the critical path."""
    window = window_of(start, end, services)
    return answer(await unless_gone(request, trace(asked(services, tenant, window), trace_id, spans)))


@router.get("/api/v1/services", responses=RESPONSES)
async def all_services(request: Request, services: ServicesOf, tenant: TenantOf, start: Start = None, end: End = None) -> Response:
    """Every service that spans or the agent's metrics tell of: rate, errors, duration, and which of the two says so."""
    window = window_of(start, end, services)
    found = await unless_gone(request, services_in(asked(services, tenant, window), window, await _fields(services, tenant)))
    return answer({"services": found})


@router.get("/api/v1/map", responses=RESPONSES)
async def service_map(request: Request, services: ServicesOf, tenant: TenantOf, start: Start = None, end: End = None) -> Response:
    """Who calls whom: services, databases and queues with the edges between them, each with rate, errors and duration."""
    window = window_of(start, end, services)
    return answer(await unless_gone(request, map_of(asked(services, tenant, window), window, await _fields(services, tenant))))


async def _fields(services: Services, tenant: str) -> Fields:
    spans, metrics = [await table_of(name, services, tenant) for name in ("spans", "metrics")]
    return Fields(spans.fields, metrics.fields)
