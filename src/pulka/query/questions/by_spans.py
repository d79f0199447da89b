"""What spans tell of services: those that enter a service measure it, those that cross between two are an edge.

A span enters when its kind is server or consumer, or it is the first of a trace. A client span that no other service answers is an
edge to what it names: a database, a queue, a host. The examples that the agent sends are left out: they are a choice, not a count.
"""

from collections.abc import Collection
from typing import Any

from pulka.model.agent_metrics import SCOPE, SCOPE_FIELD
from pulka.query.names import quote
from pulka.query.questions.answers import Asked, quoted

__all__ = ["edges", "entered", "peers"]

_ENTERS = "(lower(kind) IN ('server', 'consumer') OR parent_span_id IS NULL OR kind IS NULL)"
_PEERS = ("peer.service", "db.system.name", "db.system", "messaging.system", "rpc.system", "server.address", "net.peer.name")


def _red(span: str = "") -> str:
    return (
        f"count(*) AS requests, count(*) FILTER (WHERE lower({span}status) = 'error') AS errors, "
        f"min({span}timestamp) AS first, max({span}timestamp) AS last, "
        f"avg({span}duration_ns) AS mean_ns, approx_percentile_cont({span}duration_ns, 0.5) AS p50_ns, "
        f"approx_percentile_cont({span}duration_ns, 0.95) AS p95_ns, approx_percentile_cont({span}duration_ns, 0.99) AS p99_ns"
    )


def _counts(fields: Collection[str], span: str = "") -> str:
    """The span is no example of the agent's."""
    return f"{span}{quote(SCOPE_FIELD)} IS DISTINCT FROM {quoted(SCOPE)}" if SCOPE_FIELD in fields else "TRUE"


async def entered(asked: Asked, fields: Collection[str]) -> list[dict[str, Any]]:
    """Each service by the spans that enter it."""
    return await asked.rows(
        f"SELECT service, {_red()} FROM spans WHERE service IS NOT NULL AND {_ENTERS} AND {_counts(fields)} GROUP BY service"  # noqa: S608 - no word of a user's
    )


async def edges(asked: Asked, fields: Collection[str], limit: int) -> list[dict[str, Any]]:
    """From service to service."""
    return await asked.rows(
        f"SELECT p.service AS client, c.service AS server, {_red('c.')} FROM spans c JOIN spans p "  # noqa: S608 - no word of a user's
        "ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id "
        f"WHERE c.service <> p.service AND {_counts(fields, 'c.')} GROUP BY 1, 2 ORDER BY requests DESC, client, server LIMIT {limit}"
    )


async def peers(asked: Asked, fields: Collection[str], limit: int) -> list[dict[str, Any]]:
    """From a service to what its client spans name and no other service answers for."""
    names = [name for name in _PEERS if name in fields]
    if not names:
        return []
    named = ", ".join(f"CAST(p.{quote(name)} AS VARCHAR)" for name in names)
    return await asked.rows(
        f"SELECT p.service AS client, coalesce({named}) AS server, {_red('p.')} FROM spans p "  # noqa: S608 - no word of a user's
        "LEFT JOIN spans c ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id AND c.service <> p.service "
        f"WHERE c.span_id IS NULL AND lower(p.kind) IN ('client', 'producer') AND p.service IS NOT NULL AND coalesce({named}) IS NOT NULL "
        f"AND {_counts(fields, 'p.')} GROUP BY 1, 2 ORDER BY requests DESC, client, server LIMIT {limit}"
    )
