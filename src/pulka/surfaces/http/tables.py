"""GET /api/v1/tables, the fields of one table, published or still fresh, and what all of it takes."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from pulka.errors import NotFound, nearest
from pulka.model.fields import FIELD_TYPES, FieldType, widest
from pulka.query.questions.fields import statistics as statistics_of
from pulka.query.questions.fields import values as values_of
from pulka.seams import Limits, TableInfo
from pulka.surfaces.http.gone import unless_gone
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.results import stamp
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
)  # fmt: skip
from pulka.surfaces.http.services import Services, ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["tables"])

_Fields = Mapping[str, frozenset[FieldType]]


@router.get("/api/v1/tables", responses={400: RESPONSES[400], 503: RESPONSES[503]})
async def tables(services: ServicesOf, tenant: TenantOf) -> Response:
    """Every table of the tenant and what is stored of it."""
    known = await _tables(services, tenant)
    return _json({"tables": [_summary(known[name]) for name in sorted(known)]})


@router.get("/api/v1/tables/{table}/fields", responses=RESPONSES)
async def table_fields(table: str, services: ServicesOf, tenant: TenantOf) -> Response:
    """Every field of a table: the types it was seen with and the one SQL shows."""
    return await _fields(services, tenant, table)


@router.get("/api/v1/usage", responses={400: RESPONSES[400], 503: RESPONSES[503]})
async def usage(services: ServicesOf, tenant: TenantOf) -> Response:
    """What the tenant's tables take in the object store, retired objects that await their deletion included."""
    found = await services.catalog.usage(tenant)
    members = ("table", "fragments", "rows", "bytes", "raw_bytes", "retired_fragments", "retired_bytes")
    rows = [{name: getattr(one, name) for name in members} for one in found]
    return _json({"tables": rows, "total_bytes": sum(one.bytes + one.retired_bytes for one in found)})


@router.get("/api/v1/fields", responses=RESPONSES)
async def fields(
    request: Request,
    table: TableName,
    services: ServicesOf,
    tenant: TenantOf,
    statistics: Annotated[bool, Query(description="Also what the values are: reads all events of the window")] = False,
    where: Sql = None,
    search: Search = None,
    start: Start = None,
    end: End = None,
    values: Annotated[int, Query(ge=0, le=100, description="Most frequent values of each field at most")] = 10,
) -> Response:
    """Every field of the table that a parameter names; with statistics: how many events have it, its distinct and most frequent values,
    the spread of its numbers.
    """
    if not statistics:
        return await _fields(services, tenant, table)
    known = await table_of(table, services, tenant)
    chosen = await selection_of(SelectionBody(where=where, search=search, start=start, end=end), known, services)
    work = statistics_of(services.engine, known.name, chosen, tenant, Limits(), services.settings.summary_bytes_max, values)
    found, events, stats = await unless_gone(request, work)
    listed = [{"name": field.path, "type": field.type, **found.get(field.path, {"present": None})} for field in known.fields.values()]
    return answer({"table": known.name, "events": events, "fields": listed, "stats": stats})


@router.get("/api/v1/values", responses=RESPONSES)
async def field_values(
    request: Request,
    table: TableName,
    field: Annotated[str, Query(max_length=1000)],
    services: ServicesOf,
    tenant: TenantOf,
    prefix: Annotated[str, Query(max_length=1000, pattern=r"^[^\x00]*$", description="How the values begin")] = "",
    where: Sql = None,
    search: Search = None,
    start: Start = None,
    end: End = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 50,
) -> Response:
    """The most frequent values of a field, with counts."""
    known = await table_of(table, services, tenant)
    chosen = await selection_of(SelectionBody(where=where, search=search, start=start, end=end), known, services)
    questions = asked(services, tenant, chosen.window)
    found = await unless_gone(request, values_of(questions, known.name, field_of(field, known), prefix, chosen.where, chosen.window, limit))
    return answer({"table": known.name, "field": field_of(field, known), "values": found, "stats": questions.stats})


async def _fields(services: Services, tenant: str, table: str) -> Response:
    known = await _tables(services, tenant)
    if table not in known:
        hint = nearest(table[:80], list(known)) or "see /api/v1/tables; a table comes into being on its first event"
        raise NotFound(f"there is no table `{table[:80]}`", hint=hint)
    seen = known[table].fields
    return _json({"table": table, "fields": [_field(path, seen[path]) for path in sorted(seen)]})


async def _tables(services: Services, tenant: str) -> dict[str, TableInfo]:
    """Published tables, joined with the fields of batches that are not published yet."""
    fresh = services.fresh.fresh_fields(tenant) if services.fresh else {}  # before the catalog, or what is published in between is in neither
    known = dict(await services.catalog.tables(tenant))
    for name, seen in fresh.items():
        known[name] = _joined(known.get(name) or TableInfo(name, {}), seen)
    return known


def _joined(info: TableInfo, fresh: _Fields) -> TableInfo:
    paths = {**info.fields, **fresh}
    union = {path: info.fields.get(path, frozenset()) | fresh.get(path, frozenset()) for path in paths}
    return TableInfo(info.name, union, info.fragments, info.rows, info.bytes, info.raw_bytes, info.min_ns, info.max_ns)


def _summary(info: TableInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "fields": len(info.fields),
        "rows": info.rows,
        "fragments": info.fragments,
        "bytes": info.bytes,
        "raw_bytes": info.raw_bytes,
        "start": stamp(info.min_ns),
        "end": stamp(info.max_ns),
    }


def _field(path: str, types: frozenset[FieldType]) -> dict[str, Any]:
    return {"name": path, "type": widest(types), "types": sorted(types, key=FIELD_TYPES.index)}


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
