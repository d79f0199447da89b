"""/api/v1/deletes: remove events for good, and see how far that is."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field

from pulka.model.rules import Delete, Rules
from pulka.store.deletes import state_of
from pulka.surfaces.http.moments import time_range
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.results import stamp
from pulka.surfaces.http.rules_bodies import By, RangeBody, Sql, TableName
from pulka.surfaces.http.services import DeletesOf, ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["deletes"])

_TAKEN: dict[int | str, dict[str, Any]] = {
    200: {"description": "A dry run: how many rows a request would remove"},
    202: {"description": "Gone for queries; the objects follow"},
}


class DeleteBody(RangeBody):
    """What is to go: events that exist now, of a table and a time range, for which `where` is TRUE."""

    table: TableName
    where: Sql
    by: By = ""
    dry_run: Annotated[bool, Field(description="Count only")] = False


@router.post("/api/v1/deletes", responses=_TAKEN | RESPONSES, status_code=202, response_class=Response)
async def delete(body: DeleteBody, services: ServicesOf, deletes: DeletesOf, tenant: TenantOf) -> Response:
    """Delete events: no query sees them once this is answered, and their bytes are removed in the background."""
    window = time_range(body.start, body.end, services.clock.now_ns())
    if body.dry_run:
        return _json({"rows_matched": await deletes.matching(tenant, body.table, body.where, window), "dry_run": True})
    made = await deletes.request(tenant, body.table, body.where, window, body.by)
    return _json(_shown(made, await deletes.all(tenant)), 202)


@router.get("/api/v1/deletes", responses={400: RESPONSES[400], 503: RESPONSES[503]})
async def list_deletes(deletes: DeletesOf, tenant: TenantOf) -> Response:
    """Every request of the tenant with its progress; of done ones only the hash of the condition is kept."""
    rules = await deletes.all(tenant)
    return _json({"deletes": [_shown(one, rules) for one in rules.deletes]})


def _shown(one: Delete, rules: Rules) -> dict[str, Any]:
    return {
        "id": one.id,
        "table": one.table,
        "state": state_of(one, rules),
        "where": one.condition.sql if one.condition else None,
        "condition_hash": one.condition_hash,
        "from": stamp(one.window.start_ns),
        "to": stamp(one.window.end_ns),
        "created_at": stamp(one.created_ns),
        "created_by": one.created_by,
        "rows_matched": one.rows_matched,
        "rows_removed": one.rows_removed,
        "fragments_left": one.fragments_left,
        "done_at": stamp(one.done_ns),
    }


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
