"""Services and the map of who calls whom: rate, errors and duration, from spans and from what the agent saw.

Both may tell of the same service or edge, and the agent at both of its ends. Nothing is added up: what was told most of is shown (spans may be
sampled, the agent may not read all), and `source` says who told: spans, agent, or both.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pulka.model.windows import TimeRange
from pulka.query.questions import by_agent, by_spans
from pulka.query.questions.answers import Asked

__all__ = ["Fields", "map_of", "services"]

_EDGES_MAX = 2000
_SPANS, _AGENT, _BOTH = "spans", "agent", "both"


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields the tenant's tables have: SQL refuses any other."""

    spans: Collection[str]
    metrics: Collection[str]


async def services(asked: Asked, window: TimeRange, fields: Fields) -> list[dict[str, Any]]:
    """Each service, the busiest first."""
    told = [_by(_SPANS, await by_spans.entered(asked, fields.spans)), _by(_AGENT, await by_agent.entered(asked, fields.metrics))]
    return [_rated(row, window) for row in _busiest(_once(told, ("service",)), ("service",))]


async def map_of(asked: Asked, window: TimeRange, fields: Fields) -> dict[str, Any]:
    """Nodes and edges."""
    nodes = await services(asked, window, fields)
    spans = await by_spans.edges(asked, fields.spans, _EDGES_MAX)
    peers = await by_spans.peers(asked, fields.spans, _EDGES_MAX)
    clients = await by_agent.edges_of_clients(asked, fields.metrics, _EDGES_MAX)
    servers = await by_agent.edges_of_servers(asked, fields.metrics, _EDGES_MAX)
    kinds = _kinds(nodes, peers, [*clients, *servers])
    told = [_by(_SPANS, spans), _by(_SPANS, _renamed(peers, clients)), _by(_AGENT, clients), _by(_AGENT, servers)]
    edges = _busiest(_once(told, ("client", "server")), ("client", "server"))
    ends = {row[end] for row in edges for end in ("client", "server")}
    known = {node["service"] for node in nodes}
    return {
        "nodes": [node | {"kind": "service"} for node in nodes] + [{"service": name, "kind": kinds.get(name, "service")} for name in sorted(ends - known)],
        "edges": [_rated(row, window) for row in edges],
        "truncated": any(len(rows) == _EDGES_MAX for rows in (spans, peers, clients, servers)),
    }


def _by(source: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "source": source} for row in rows]


def _once(told: Iterable[Iterable[dict[str, Any]]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Of rows with the same key the one that counted most."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (row for rows in told for row in rows):
        key = tuple(row[name] for name in keys)
        other = found.setdefault(key, row)
        most = max(other, row, key=lambda one: one["requests"])
        found[key] = most if other["source"] == row["source"] else {**most, "source": _BOTH}
    return list(found.values())


def _busiest(rows: list[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (-row["requests"], *(row[name] for name in keys)))


def _renamed(peers: list[dict[str, Any]], clients: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Spans name a database by its kind or address, the agent as the service that it is: where one edge can be meant, it is that one.

    Where several can, they are the same calls told apart, and the edge of the spans goes.
    """
    meant: dict[tuple[str, str], set[str]] = {}
    for edge in clients:
        for alias in {edge["server"], edge["system"], edge["address"]} - {None}:
            meant.setdefault((edge["client"], alias), set()).add(edge["server"])
    found = [(row, meant.get((row["client"], row["server"]), {row["server"]})) for row in peers]
    return [{**row, "server": next(iter(servers))} for row, servers in found if len(servers) == 1]


def _kinds(nodes: list[dict[str, Any]], peers: list[dict[str, Any]], agent: list[dict[str, Any]]) -> dict[str, str]:
    """Of ends that nothing entered: a peer is what only others tell of."""
    kinds = {row["server"]: "peer" for row in peers} | {row["server"]: "service" if row["named"] else "peer" for row in agent}
    return kinds | {row["client"]: "service" for row in [*peers, *agent]} | {by_agent.UNKNOWN: "unknown"} | {node["service"]: "service" for node in nodes}


def _rated(row: dict[str, Any], window: TimeRange) -> dict[str, Any]:
    """With the rate per second over the window; where a side is open, over the time that was told of."""
    start = row["first"] if window.start_ns is None else window.start_ns
    end = row["last"] if window.end_ns is None else window.end_ns
    seconds = max(1.0, (end - start) / 1e9)
    shown = {name: row[name] for name in row if name not in ("first", "last", "named", "system", "address")}
    return {**shown, "rate": row["requests"] / seconds, "error_share": row["errors"] / row["requests"]}
