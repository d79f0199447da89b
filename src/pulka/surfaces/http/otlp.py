"""POST /v1/logs, /v1/traces and /v1/metrics: OTLP over HTTP, protobuf and JSON.

https://opentelemetry.io/docs/specs/otlp/#otlphttp: answers and errors come in the request's encoding.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from pulka.errors import BadInput, PulkaError
from pulka.intake import Outcome
from pulka.intake.ingest import Signal, Wire
from pulka.model.tables import DEFAULT_TENANT, check_tenant
from pulka.surfaces.http.body import content_type, encoding_of, read_body
from pulka.surfaces.http.otlp_messages import export_response, rpc_status
from pulka.surfaces.http.problems import retry_after
from pulka.surfaces.http.services import services_of

__all__ = ["router"]

router = APIRouter(tags=["otlp"])

_TYPES: dict[Wire, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
_WIRES: dict[str, Wire] = {
    "application/x-protobuf": "protobuf",
    "application/protobuf": "protobuf",
    "application/json": "json",
}
_CONTENT: dict[str, Any] = {
    "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
    "application/json": {"schema": {"type": "object"}},
}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": _CONTENT}}
_STATUS = {"description": "google.rpc.Status in the encoding of the request", "content": _CONTENT}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Durable; partial_success counts what was rejected", "content": _CONTENT},
    **dict.fromkeys((400, 413, 500, 503), _STATUS),
}


async def _export(request: Request, signal: Signal) -> Response:
    wire = _WIRES.get(content_type(request))
    try:
        outcome = await _take(request, signal, wire)
    except PulkaError as error:
        told = wire or "json"
        return Response(rpc_status(error, told), error.http_status, retry_after(error), _TYPES[told])
    assert wire is not None
    return Response(export_response(signal, wire, outcome), media_type=_TYPES[wire])


async def _take(request: Request, signal: Signal, wire: Wire | None) -> Outcome:
    if wire is None:
        raise BadInput("Content-Type names no encoding of OTLP", hint="send application/x-protobuf or application/json")
    intake = services_of(request).intake
    tenant = check_tenant(request.headers.get("x-pulka-tenant", DEFAULT_TENANT))
    body = await read_body(request, intake)
    return await intake.otlp(tenant, signal, wire, body, encoding_of(request), request.headers.get("idempotency-key"))


def _route(signal: Signal) -> Callable[[Request], Awaitable[Response]]:
    async def export(request: Request) -> Response:
        return await _export(request, signal)

    export.__name__ = f"export_{signal}"
    export.__doc__ = f"Store an OTLP export of {signal}."
    return export


for _signal in ("logs", "traces", "metrics"):
    router.add_api_route(
        f"/v1/{_signal}",
        _route(_signal),
        methods=["POST"],
        openapi_extra=_BODY,
        responses=_RESPONSES,
        response_class=Response,
    )
