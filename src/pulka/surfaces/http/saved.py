"""/api/v1/saved: questions under names."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from pulka.monitors.definition import SavedQuery
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.results import stamp
from pulka.surfaces.http.rules_bodies import By, Sql, TableName, Text
from pulka.surfaces.http.services import MonitorsOf, TenantOf

__all__ = ["Name", "router"]

router = APIRouter(tags=["saved queries"])

Name = Annotated[str, Field(max_length=63)]
Search = Annotated[str, Field(max_length=1 << 16, pattern=r"^[^\x00]*$", description="The search syntax of docs/search.md")]
_LISTED: dict[int | str, dict[str, Any]] = {400: RESPONSES[400], 503: RESPONSES[503]}


class SavedBody(BaseModel):
    """A question: `sql`, or `search` with its table."""

    model_config = ConfigDict(extra="forbid")

    sql: Sql | None = None
    search: Search | None = None
    table: TableName = "logs"
    description: Text = ""
    by: By = ""


@router.get("/api/v1/saved", responses=_LISTED)
async def list_saved(monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """The saved queries of the tenant."""
    return _json({"saved": [_shown(one) for one in await monitors.definitions.saved(tenant)]})


@router.put("/api/v1/saved/{name}", responses=RESPONSES)
async def save(name: str, body: SavedBody, monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """Keep a question under a name; replaces the one that had it. It is not run."""
    wanted = SavedQuery(name, body.sql, body.search, body.table, body.description, created_by=body.by)
    return _json(_shown(await monitors.definitions.save(tenant, wanted)))


@router.get("/api/v1/saved/{name}", responses=RESPONSES)
async def get_saved(name: str, monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """One saved query."""
    return _json(_shown(await monitors.definitions.saved_query(tenant, name)))


@router.delete("/api/v1/saved/{name}", responses=RESPONSES)
async def remove_saved(name: str, monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """Forget a saved query that no monitor asks."""
    return _json(_shown(await monitors.definitions.forget(tenant, name)))


def _shown(one: SavedQuery) -> dict[str, Any]:
    members = {"name": one.name, "sql": one.sql, "search": one.search, "table": one.table if one.search is not None else None}
    return {**members, "description": one.description, "created_at": stamp(one.created_ns), "created_by": one.created_by}


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
