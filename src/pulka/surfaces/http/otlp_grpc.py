"""OTLP over gRPC: the three Export methods on raw bytes, because the Rust core reads the protobuf itself."""

from collections.abc import Awaitable, Callable

import grpc
import grpc.aio

from pulka.errors import Misconfigured, PulkaError
from pulka.intake.ingest import Signal
from pulka.model.tables import DEFAULT_TENANT, check_tenant
from pulka.surfaces.http.otlp_messages import export_response, rpc_code, rpc_status
from pulka.surfaces.http.services import Services

__all__ = ["create_grpc_server"]

_SERVICES: dict[Signal, str] = {
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
_Export = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


def create_grpc_server(services: Services, address: str) -> tuple[grpc.aio.Server, int]:
    """A server bound to `address` (`host:port`, port 0 for a free one) and its port; `await server.start()` begins."""
    settings = services.settings
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.grpc_message_bytes_max),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=settings.grpc_requests_max,
        compression=grpc.Compression.NoCompression,
    )
    for signal, name in _SERVICES.items():
        method = grpc.unary_unary_rpc_method_handler(_export(services, signal))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": method}),))
    return server, _bind(server, address)


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        return int(server.add_insecure_port(address))
    except RuntimeError:
        raise Misconfigured(
            f"cannot listen on {address} for gRPC", hint="name another port, or stop what holds it"
        ) from None


def _export(services: Services, signal: Signal) -> _Export:
    async def export(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        try:
            tenant = check_tenant(metadata.get("x-pulka-tenant", DEFAULT_TENANT))
            key = metadata.get("idempotency-key")
            outcome = await services.intake.otlp(tenant, signal, "protobuf", body, "", key)
        except PulkaError as error:
            await _refuse(context, error)
        return export_response(signal, "protobuf", outcome)

    return export


async def _refuse(context: grpc.aio.ServicerContext, error: PulkaError) -> None:
    """Raises; the details carry RetryInfo, without which senders may not retry."""
    details = (("grpc-status-details-bin", rpc_status(error)),)
    await context.abort(getattr(grpc.StatusCode, rpc_code(error)), error.message, details)
