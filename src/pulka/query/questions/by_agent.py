"""What the agent's metrics tell of services: its histograms, merged over the window.

A connection whose two ends are on hosts with an agent is told of by both, so edges come as the clients have them and as the servers have
them, and who asks takes one. Ends on two hosts do not know each other's names, but both tell the same two addresses and port. TLS handshakes count only where nothing else of what was said can be read.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pulka.model.agent_metrics import CLIENT_SIDE, SCOPE, SCOPE_FIELD, SERVER_SIDE
from pulka.query.names import quote
from pulka.query.questions.answers import Asked, quoted

__all__ = ["UNKNOWN", "edges_of_clients", "edges_of_servers", "entered"]

UNKNOWN = "unknown"
"""Whoever the agent has no name for: on another host, or gone before it could be asked."""
_SEVERAL = ""
_HISTOGRAM = ("scale", "zero_count", "positive_offset", "positive_counts")
_TYPES = {"positive_counts": "VARCHAR", "sum": "DOUBLE", "value": "DOUBLE"}
_SHARES = {"p50_ns": 0.5, "p95_ns": 0.95, "p99_ns": 0.99}


async def entered(asked: Asked, fields: Collection[str]) -> list[dict[str, Any]]:
    """Each service by the requests that it got."""
    return await _Metrics(asked, fields).red({"service": "service"}, SERVER_SIDE)


async def edges_of_clients(asked: Asked, fields: Collection[str], limit: int) -> list[dict[str, Any]]:
    """From each service to what it called: `named` when that is a service, else by its address; `system` and `address` are what spans may call it."""
    metrics = _Metrics(asked, fields, SERVER_SIDE)
    peer, address, system = metrics.text("peer.service"), metrics.text("server.address"), metrics.text("db.system.name", "messaging.system", "rpc.system.name")
    full = f"CASE WHEN strpos({address}, ':') > 0 THEN '[' || {address} || ']' ELSE {address} END || ':' || {metrics.text('server.port')}"
    keys = {"client": "service", "server": f"coalesce({peer}, {metrics.far}, {full}, {address}, {system}, {quoted(UNKNOWN)})"}
    facts = {"named": f"bool_or(coalesce({peer}, {metrics.far}) IS NOT NULL)", "system": f"max({system})", "address": f"max({address})"}
    return await metrics.red(keys, CLIENT_SIDE, facts, limit)


async def edges_of_servers(asked: Asked, fields: Collection[str], limit: int) -> list[dict[str, Any]]:
    """To each service from whom called it. Where several services of one host did, their own edges tell more than can be told here."""
    metrics = _Metrics(asked, fields, CLIENT_SIDE)
    keys = {"client": f"coalesce({metrics.text('peer.service')}, {metrics.far}, {quoted(UNKNOWN)})", "server": "service"}
    return await metrics.red(keys, SERVER_SIDE, {"named": "TRUE"}, limit, metrics.is_one)


class _Metrics:
    """The agent's rows of `metrics`; fields that the tenant has none of are NULL, and those of another type too."""

    def __init__(self, asked: Asked, fields: Collection[str], far: Sequence[str] = ()) -> None:
        """`far`: the metrics of the other end, where its name is wanted."""
        self._asked, self._fields = asked, fields
        self._far = far if {"client.address", "server.address", "server.port"} <= set(fields) else ()
        self.far = f"nullif(far_service, {quoted(_SEVERAL)})" if self._far else "CAST(NULL AS VARCHAR)"
        self.is_one = f"far_service IS DISTINCT FROM {quoted(_SEVERAL)}" if self._far else "TRUE"

    def text(self, *names: str) -> str:
        found = [f"CAST({quote(name)} AS VARCHAR)" for name in names if name in self._fields]
        return f"coalesce({', '.join(found)})" if found else "CAST(NULL AS VARCHAR)"

    def _ends(self) -> dict[str, str]:
        return {"far_client": self.text("client.address"), "far_server": self.text("server.address"), "far_port": self.text("server.port")}

    def _rows(self) -> str:
        """The agent's rows, beside the service at the other end of the same two addresses and port, which is on another host."""
        if not self._far:
            return "metrics"
        ends, unnamed = self._ends(), f"{self.text('peer.service')} IS NULL"
        columns = ", ".join(f"{sql} AS {name}" for name, sql in ends.items())
        same = " AND ".join(f"{name} = {sql}" for name, sql in ends.items())
        return (
            f"metrics LEFT JOIN (SELECT {columns}, CASE WHEN count(DISTINCT service) = 1 THEN min(service) ELSE {quoted(_SEVERAL)} END AS far_service "  # noqa: S608
            f"FROM metrics WHERE {self._are(self._far)} AND {unnamed} AND {ends['far_client']} NOT LIKE '127.%' AND {ends['far_client']} <> '::1' "
            f"GROUP BY 1, 2, 3) ON {same} AND {unnamed}"
        )

    def _are(self, names: Sequence[str]) -> str:
        return f"{self.text(SCOPE_FIELD)} = {quoted(SCOPE)} AND service IS NOT NULL AND name IN ({', '.join(map(quoted, names))})"

    def _number(self, name: str) -> str:
        kind = _TYPES.get(name, "BIGINT")
        return f"TRY_CAST({quote(name)} AS {kind})" if name in self._fields else f"CAST(NULL AS {kind})"

    def _mean(self) -> str:
        return f"sum({self._number('sum')}) / sum({self._number('count')}) * 1e9" if {"sum", "count"} <= set(self._fields) else "CAST(NULL AS DOUBLE)"

    def _durations(self) -> str:
        return f"merge_histograms({', '.join(map(self._number, _HISTOGRAM))})" if set(_HISTOGRAM) <= set(self._fields) else "CAST(NULL AS BYTEA)"

    async def red(
        self, keys: Mapping[str, str], names: Sequence[str], facts: Mapping[str, str] = {}, limit: int = 10_000, where: str = "TRUE"
    ) -> list[dict[str, Any]]:
        """Rate, errors and durations by the columns `keys`; `facts` are aggregates beside them."""
        if SCOPE_FIELD not in self._fields:
            return []
        handshake = f"{self.text('network.protocol.name')} IS NOT DISTINCT FROM 'tls'"
        columns = ", ".join(f"{sql} AS {name}" for name, sql in {**keys, "is_handshake": handshake, **facts}.items())
        quantiles = ", ".join(f"sketch_quantile(durations, {share}) * 1e9 AS {name}" for name, share in _SHARES.items())
        groups = ", ".join(map(str, range(1, len(keys) + 2)))
        rows = await self._asked.rows(
            f"SELECT *, {quantiles} FROM (SELECT {columns}, {self._red()} FROM {self._rows()} "  # noqa: S608 - no word of a user's
            f"WHERE {self._are(names)} AND {where} "
            f"GROUP BY {groups}) WHERE requests > 0 ORDER BY requests DESC, {', '.join(keys)} LIMIT {limit}"
        )
        return _without_handshakes(rows, tuple(keys))

    def _red(self) -> str:
        requests = f"coalesce({self._number('count')}, CAST({self._number('value')} AS BIGINT))"
        return (
            f"CAST(sum({requests}) AS BIGINT) AS requests, "
            f"CAST(coalesce(sum({requests}) FILTER (WHERE {self.text('error.type')} IS NOT NULL), 0) AS BIGINT) AS errors, "
            f"min(coalesce({self._number('start_timestamp')}, CAST(timestamp AS BIGINT))) AS first, max(timestamp) AS last, "
            f"{self._mean()} AS mean_ns, {self._durations()} AS durations"
        )


def _without_handshakes(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """One row per key."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: bool(row["is_handshake"])):
        row.pop("durations")
        row.pop("is_handshake")
        kept.setdefault(tuple(row[key] for key in keys), row)
    return list(kept.values())
