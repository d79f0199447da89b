"""/api/v1/retention and /api/v1/holds: how long events are kept, and what is kept whatever else is said."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from pulka.model.moments import duration_s
from pulka.model.rules import Hold, Retention
from pulka.surfaces.http.moments import time_range
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.results import stamp
from pulka.surfaces.http.rules_bodies import By, RangeBody, Sql, TableName, Text
from pulka.surfaces.http.services import KeepingOf, ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["retention"])

_LISTED: dict[int | str, dict[str, Any]] = {400: RESPONSES[400], 503: RESPONSES[503]}


class PolicyBody(BaseModel):
    """How long events of a table are kept, or only those for which `where` is TRUE."""

    model_config = ConfigDict(extra="forbid")

    table: Annotated[TableName, Field(description="`*`: every table without a policy of its own")]
    keep: Annotated[str, Field(max_length=20, description="Such as 36h, 30d or 52w; 0 is for ever")]
    where: Sql | None = None
    by: By = ""


class HoldBody(RangeBody):
    """A table and a time range of which nothing may be removed."""

    table: TableName
    reason: Text = ""
    by: By = ""


@router.put("/api/v1/retention", responses=RESPONSES)
async def set_retention(body: PolicyBody, keeping: KeepingOf, tenant: TenantOf) -> Response:
    """Set how long events are kept; replaces the policy for the same events. Queries follow at once, objects later."""
    return _json(_policy(await keeping.set_policy(tenant, body.table, duration_s(body.keep), body.where, body.by)))


@router.get("/api/v1/retention", responses=_LISTED)
async def list_retention(keeping: KeepingOf, tenant: TenantOf) -> Response:
    """The policies of the tenant, and how long tables without one are kept."""
    found = (await keeping.rules(tenant)).retention
    return _json({"default_s": keeping.default_s, "policies": [_policy(one) for one in found]})


@router.delete("/api/v1/retention/{policy}", responses=RESPONSES)
async def remove_retention(policy: str, keeping: KeepingOf, tenant: TenantOf) -> Response:
    """Take a policy back."""
    return _json(_policy(await keeping.remove_policy(tenant, policy)))


@router.post("/api/v1/holds", responses=RESPONSES)
async def set_hold(body: HoldBody, services: ServicesOf, keeping: KeepingOf, tenant: TenantOf) -> Response:
    """Keep a table's events of a time range in the objects, whatever deletes and policies say, until released."""
    window = time_range(body.start, body.end, services.clock.now_ns())
    return _json(_hold(await keeping.hold(tenant, body.table, window, body.reason, body.by)))


@router.get("/api/v1/holds", responses=_LISTED)
async def list_holds(keeping: KeepingOf, tenant: TenantOf) -> Response:
    """The holds of the tenant."""
    return _json({"holds": [_hold(one) for one in (await keeping.rules(tenant)).holds]})


@router.delete("/api/v1/holds/{hold}", responses=RESPONSES)
async def release_hold(hold: str, keeping: KeepingOf, tenant: TenantOf) -> Response:
    """End a hold: what it kept is removed in the background."""
    return _json(_hold(await keeping.release(tenant, hold)))


def _policy(one: Retention) -> dict[str, Any]:
    return {
        "id": one.id,
        "table": one.table,
        "where": one.condition.sql if one.condition else None,
        "keep_s": one.keep_s,
        "created_at": stamp(one.created_ns),
        "created_by": one.created_by,
    }


def _hold(one: Hold) -> dict[str, Any]:
    return {
        "id": one.id,
        "table": one.table,
        "from": stamp(one.window.start_ns),
        "to": stamp(one.window.end_ns),
        "reason": one.reason,
        "created_at": stamp(one.created_ns),
        "created_by": one.created_by,
    }


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
