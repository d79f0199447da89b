"""/api/v1/queries: the queries that run or wait now, and how to stop one."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Response

from pulka.query.queries import Progress, check_query_id
from pulka.seams import Clock
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.results import stamp
from pulka.surfaces.http.services import QueriesOf, ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["query"])

_QueryId = Annotated[str, Path(max_length=64, description="As in the header Pulka-Query-Id of the query")]
_LISTED: dict[int | str, dict[str, Any]] = {400: RESPONSES[400], 404: RESPONSES[404]}


@router.get("/api/v1/queries", responses=_LISTED)
async def list_queries(queries: QueriesOf, services: ServicesOf, tenant: TenantOf) -> Response:
    """The tenant's queries that run or wait for their turn, the oldest first; texts and numbers in their SQL are left out."""
    return _json({"queries": [_shown(one, services.clock) for one in queries.of(tenant)]})


@router.get("/api/v1/queries/{query_id}", responses=_LISTED)
async def get_query(query_id: _QueryId, queries: QueriesOf, services: ServicesOf, tenant: TenantOf) -> Response:
    """How far a query is."""
    return _json(_shown(queries.one(tenant, check_query_id(query_id)), services.clock))


@router.delete("/api/v1/queries/{query_id}", responses=_LISTED)
async def cancel_query(query_id: _QueryId, queries: QueriesOf, services: ServicesOf, tenant: TenantOf) -> Response:
    """Stop a query: its CPU and memory are free soon after, and whoever waits for its answer is told that it was cancelled."""
    return _json(_shown(queries.cancel(tenant, check_query_id(query_id)), services.clock))


def _shown(one: Progress, clock: Clock) -> dict[str, object]:
    return {**one.as_dict(), "since": stamp(one.since_ns), "running_s": round(max(0, clock.now_ns() - one.since_ns) / 1e9, 3)}


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
