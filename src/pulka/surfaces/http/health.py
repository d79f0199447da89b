"""Is it alive, is it ready, what does it count; and a first page that says where to go."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from pulka import __version__
from pulka.surfaces.http.services import ServicesOf
from pulka.telemetry import CONTENT_TYPE

__all__ = ["router"]

router = APIRouter(tags=["health"])

_TEXT: dict[int | str, dict[str, Any]] = {200: {"description": "Text", "content": {"text/plain": {}}}}
_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"description": "The checks that fail, each with a sentence"}}


@router.get("/healthz")
async def healthz() -> Response:
    """The process answers."""
    return Response(msgspec.json.encode({"status": "ok", "version": __version__}), media_type="application/json")


@router.get("/readyz", responses=_NOT_READY)
async def readyz(services: ServicesOf) -> Response:
    """Every part says it can work; what runs beside (the agent, as `edge`) says how it is."""
    found = {name: await check() for name, check in services.checks.items()}
    failing = {name: sentence for name, sentence in found.items() if sentence}
    body = {
        "status": "not ready" if failing else "ready",
        "checks": {name: found[name] or "ok" for name in found},
        **{name: tell() for name, tell in services.beside.items()},
    }
    return Response(msgspec.json.encode(body), 503 if failing else 200, media_type="application/json")


@router.get("/metrics", responses=_TEXT, response_class=Response)
async def metrics(services: ServicesOf) -> Response:
    """Counters in the Prometheus text format."""
    return Response(services.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


@router.get("/", responses=_TEXT, response_class=Response)
async def root(request: Request) -> Response:
    """The next commands."""
    return Response(_welcome(str(request.base_url).rstrip("/")), media_type="text/plain; charset=utf-8")


def _welcome(base: str) -> str:
    return f"""Pulka {__version__}

Store an event:  curl {base}/api/v1/ingest/logs -d '{{"message": "hello"}}'
Ask a question:  curl {base}/api/v1/query --url-query sql="select * from logs order by timestamp desc limit 10"
What is stored:  curl {base}/api/v1/tables
OpenTelemetry:   export OTEL_EXPORTER_OTLP_ENDPOINT={base} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
Every endpoint:  {base}/openapi.json
"""  # noqa: S608 - prose
