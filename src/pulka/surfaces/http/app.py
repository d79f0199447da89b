"""Builds the application: routes, problems, metrics."""

from types import SimpleNamespace
from typing import Any, cast

from fastapi import FastAPI

from pulka import __version__
from pulka.surfaces.http import (
    compare,
    complete,
    context,
    deletes,
    health,
    ingest,
    keeping,
    monitors,
    otlp,
    patterns,
    problems,
    queries,
    query,
    saved,
    tables,
    tail,
    traces,
)
from pulka.surfaces.http.bounded import Bounded
from pulka.surfaces.http.observed import Observed
from pulka.surfaces.http.services import HttpSettings, Services
from pulka.telemetry import Registry

__all__ = ["create_app", "openapi_document"]


def create_app(services: Services) -> FastAPI:
    """The ASGI application on these services. It neither starts nor closes them."""
    app = FastAPI(
        title="Pulka",
        version=__version__,
        description="An open observability lake: events in, SQL out.",
        docs_url=None,  # Swagger's page loads scripts from a foreign host
        redoc_url=None,
    )
    app.state.services = services
    problems.install(app)
    for part in (ingest, otlp, query, queries, compare, patterns, complete, context, traces, tail, tables, deletes, keeping, saved, monitors, health):
        app.include_router(part.router)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    app.add_middleware(Bounded, bytes_max=services.settings.question_bytes_max)
    app.add_middleware(Observed, clock=services.clock, metrics=services.metrics)
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, without the validation error of FastAPI: ours are problems with status 400."""
    document = FastAPI.openapi(app)
    for path in document["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
    return document


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document without a lake behind it, for the documentation."""
    return create_app(cast(Services, SimpleNamespace(clock=None, metrics=Registry(), settings=HttpSettings()))).openapi()
