"""GET /api/v1/tables, the fields of one table, published or still fresh, and what all of it takes."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from pulka.errors import NotFound, nearest
from pulka.model.fields import FIELD_TYPES, FieldType, widest
from pulka.seams import TableInfo
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.results import stamp
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
async def fields(table: Annotated[str, Query()], services: ServicesOf, tenant: TenantOf) -> Response:
    """Every field of the table that a parameter names."""
    return await _fields(services, tenant, table)


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
