"""Services from spans: rate, errors and duration of each, and the edges between them.

A service is measured by the spans that enter it (kind server or consumer, or the first of a trace). An edge is a span whose
parent is of another service; a client span that no other service answers is an edge to what it names: a database, a queue, a host.
"""

from collections.abc import Collection
from typing import Any

from pulka.model.windows import TimeRange
from pulka.query.names import quote
from pulka.query.questions.answers import Asked

__all__ = ["map_of", "services"]

_ENTERS = "(lower(kind) IN ('server', 'consumer') OR parent_span_id IS NULL OR kind IS NULL)"
_PEERS = ("peer.service", "db.system.name", "db.system", "messaging.system", "rpc.system", "server.address", "net.peer.name")
_EDGES_MAX = 2000


def _red(span: str = "") -> str:
    return (
        f"count(*) AS spans, count(*) FILTER (WHERE lower({span}status) = 'error') AS errors, "
        f"min({span}timestamp) AS first, max({span}timestamp) AS last, "
        f"avg({span}duration_ns) AS mean_ns, approx_percentile_cont({span}duration_ns, 0.5) AS p50_ns, "
        f"approx_percentile_cont({span}duration_ns, 0.95) AS p95_ns, approx_percentile_cont({span}duration_ns, 0.99) AS p99_ns"
    )


async def services(asked: Asked, window: TimeRange) -> list[dict[str, Any]]:
    """Each service, the busiest first."""
    sql = f"SELECT service, {_red()} FROM spans WHERE service IS NOT NULL AND {_ENTERS} GROUP BY service ORDER BY spans DESC, service"  # noqa: S608
    return [_rated(row, window) for row in await asked.rows(sql)]


async def map_of(asked: Asked, window: TimeRange, fields: Collection[str]) -> dict[str, Any]:
    """Nodes and edges; `fields` are those of the tenant's spans."""
    nodes = await services(asked, window)
    edges = await asked.rows(
        "SELECT p.service AS client, c.service AS server, " + _red("c.") + " FROM spans c JOIN spans p "  # noqa: S608 - no word of a user's
        "ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id "
        f"WHERE c.service <> p.service GROUP BY 1, 2 ORDER BY spans DESC, client, server LIMIT {_EDGES_MAX}"
    )
    peers = await asked.rows(_peers_sql(fields)) if any(name in fields for name in _PEERS) else []
    known = {node["service"] for node in nodes}
    return {
        "nodes": [node | {"kind": "service"} for node in nodes] + _others(known, edges, peers),
        "edges": [_rated(row, window) for row in edges + peers],
        "truncated": len(edges) == _EDGES_MAX or len(peers) == _EDGES_MAX,
    }


def _peers_sql(fields: Collection[str]) -> str:
    """Client spans without an answer of another service, by what they name."""
    named = ", ".join(f"CAST(p.{quote(name)} AS VARCHAR)" for name in _PEERS if name in fields)
    return (
        f"SELECT p.service AS client, coalesce({named}) AS server, {_red('p.')} FROM spans p "  # noqa: S608 - no word of a user's
        "LEFT JOIN spans c ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id AND c.service <> p.service "
        f"WHERE c.span_id IS NULL AND lower(p.kind) IN ('client', 'producer') AND p.service IS NOT NULL AND coalesce({named}) IS NOT NULL "
        f"GROUP BY 1, 2 ORDER BY spans DESC, client, server LIMIT {_EDGES_MAX}"
    )


def _others(known: Collection[str], edges: list[dict[str, Any]], peers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ends of edges that no entering span tells of."""
    ends = {row[end]: "service" for row in edges for end in ("client", "server")}
    ends = {row["server"]: "peer" for row in peers} | {row["client"]: "service" for row in peers} | ends
    return [{"service": name, "kind": kind} for name, kind in sorted(ends.items()) if name not in known]


def _rated(row: dict[str, Any], window: TimeRange) -> dict[str, Any]:
    """With the rate per second over the window; where a side is open, over the time that the spans span."""
    first, last = row.pop("first"), row.pop("last")
    start = first if window.start_ns is None else window.start_ns
    end = last if window.end_ns is None else window.end_ns
    seconds = max(1.0, (end - start) / 1e9)
    return {**row, "rate": row["spans"] / seconds, "error_share": row["errors"] / row["spans"]}
