"""OpenTelemetry's names for what was counted: the metric of a row, its attributes, and the name of a span.

Semantic conventions 1.37 (HTTP, RPC, database, messaging, DNS); the names of metrics are in `pulka.model.agent_metrics`. Durations are seconds.
"""

from collections.abc import Mapping
from typing import Protocol

from pulka.model.agent_metrics import DURATIONS, MESSAGES

__all__ = ["Row", "attributes", "messages_name", "metric_name", "span_name"]

Value = str | int


class Row(Protocol):
    """The fields of `pulka._native.EdgeRow` that name it."""

    is_client: bool
    tls: bool
    peer: str
    address: str
    own_address: str
    port: int
    protocol: str
    operation: str
    target: str
    status: str
    error: str | None


_HTTP = {"http1": "1.1", "http2": "2"}
_DATABASES = {"postgresql", "mysql", "redis", "mongodb", "memcached", "cassandra", "clickhouse"}
_MESSAGING = {"kafka": "kafka", "amqp": "rabbitmq", "nats": "nats", "mqtt": "mqtt"}


def metric_name(row: Row) -> str:
    """As `http.server.request.duration`."""
    return DURATIONS[_area(row.protocol)][row.is_client]


def messages_name(row: Row) -> str:
    """Of one-way messages, which have no duration."""
    return MESSAGES[row.is_client]


def _area(protocol: str) -> str:
    if protocol in _HTTP:
        return "http"
    if protocol in _DATABASES:
        return "db"
    if protocol in _MESSAGING:
        return "messaging"
    return {"grpc": "rpc", "dns": "dns"}.get(protocol, "")


def attributes(row: Row) -> dict[str, Value]:
    """What tells this row from others of its service; empty values are left out."""
    values: dict[str, Value | None] = {**_of_protocol(row), **_ends(row), "error.type": row.error}
    return {name: value for name, value in values.items() if value not in ("", None)}


def _of_protocol(row: Row) -> Mapping[str, Value]:
    if row.protocol in _HTTP:
        return {
            "http.request.method": row.operation,
            "url.template" if row.is_client else "http.route": row.target,
            "http.response.status_code": int(row.status) if row.status.isdigit() else row.status,
            "url.scheme": "https" if row.tls else "http",
            "network.protocol.name": "http",
            "network.protocol.version": _HTTP[row.protocol],
        }
    if row.protocol == "grpc":
        return {"rpc.system.name": "grpc", "rpc.method": row.target or row.operation, "rpc.response.status_code": row.status}
    if row.protocol in _DATABASES:
        return {
            "db.system.name": row.protocol,
            "db.operation.name": row.operation,
            "db.query.summary": row.target,
            "db.response.status_code": row.status,
        }
    if row.protocol in _MESSAGING:
        return {"messaging.system": _MESSAGING[row.protocol], "messaging.operation.name": row.operation, "messaging.destination.name": row.target}
    if row.protocol == "dns":
        return {"dns.question.name": row.target, "dns.question.type": row.operation, "dns.response.code": row.status}
    return {"network.protocol.name": row.protocol, "pulka.operation": row.operation, "pulka.target": row.target, "pulka.status": row.status}


def _ends(row: Row) -> Mapping[str, Value]:
    peer, own = ("server.address", "client.address") if row.is_client else ("client.address", "server.address")
    return {peer: row.address, own: row.own_address, "server.port": row.port or "", "peer.service": row.peer}


def span_name(row: Row) -> str:
    """Low in cardinality: the operation and what it is about."""
    return f"{row.operation} {row.target}".strip() or row.protocol
