"""What the routes stand on: one value, made by `pulka.app`, found by every route in `request.app.state.services`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Header, Request

from pulka.errors import NotFound
from pulka.intake import Intake
from pulka.model.tables import DEFAULT_TENANT, check_tenant
from pulka.monitors.service import Monitors
from pulka.query.queries import Queries
from pulka.query.tails import Tails
from pulka.seams import Catalog, Clock, Engine, Fresh
from pulka.store.deletes import Deletes
from pulka.store.retention import Keeping
from pulka.telemetry import Registry

__all__ = [
    "Check", "DeletesOf", "HttpSettings", "KeepingOf", "MonitorsOf", "QueriesOf", "Services", "ServicesOf", "TailsOf", "Telling", "TenantOf", "services_of",
]  # fmt: skip

Check = Callable[[], Awaitable[str]]
"""Empty when all is well, else one sentence that says what is wrong."""
Telling = Callable[[], Mapping[str, Any]]
"""The `state` of something that runs beside, and more about it."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Bounds of the HTTP and gRPC surfaces."""

    query_rows_max: int = 100_000
    """Rows of one result when the request names no limit."""
    summary_bytes_max: int = 128 << 20
    """What one question about all fields may remember of their values."""
    question_bytes_max: int = 8 << 20
    """The body of a request that is no events."""
    grpc_message_bytes_max: int = 64 << 20
    grpc_requests_max: int = 64
    """Requests handled at one moment; more are refused as RESOURCE_EXHAUSTED."""


@dataclass(slots=True)
class Services:
    """The parts behind the surfaces. `checks` are asked by /readyz, by name; `beside` is told of there, and is not what readiness hangs on."""

    intake: Intake
    engine: Engine
    catalog: Catalog
    clock: Clock
    fresh: Fresh | None = None
    deletes: Deletes | None = None
    keeping: Keeping | None = None
    tails: Tails | None = None
    monitors: Monitors | None = None
    queries: Queries | None = None
    settings: HttpSettings = field(default_factory=HttpSettings)
    metrics: Registry = field(default_factory=Registry)
    checks: Mapping[str, Check] = field(default_factory=dict)
    beside: dict[str, Telling] = field(default_factory=dict)


def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    services: Services = request.app.state.services
    return services


async def _services(request: Request) -> Services:
    return services_of(request)


async def _deletes(request: Request) -> Deletes:
    return services_of(request).deletes or _missing()


async def _keeping(request: Request) -> Keeping:
    return services_of(request).keeping or _missing()


async def _tails(request: Request) -> Tails:
    return services_of(request).tails or _missing()


async def _monitors(request: Request) -> Monitors:
    return services_of(request).monitors or _missing()


async def _queries(request: Request) -> Queries:
    return services_of(request).queries or _missing()


def _missing() -> NoReturn:
    raise NotFound("this server only reads", hint="ask the one that takes events")


async def _tenant(x_pulka_tenant: Annotated[str, Header(description="Whose data this is")] = DEFAULT_TENANT) -> str:
    return check_tenant(x_pulka_tenant)


ServicesOf = Annotated[Services, Depends(_services)]
DeletesOf = Annotated[Deletes, Depends(_deletes)]
KeepingOf = Annotated[Keeping, Depends(_keeping)]
MonitorsOf = Annotated[Monitors, Depends(_monitors)]
QueriesOf = Annotated[Queries, Depends(_queries)]
TailsOf = Annotated[Tails, Depends(_tails)]
TenantOf = Annotated[str, Depends(_tenant)]
