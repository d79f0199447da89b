"""Names that the agent gives to what it counts: `edge` writes them, the questions about services read them.

OpenTelemetry's semantic conventions 1.37 where they have a name; where they know a client's side only, a server's has the same name
after `pulka.`; protocols without a convention are `pulka.{client,server}.request.duration`. Messages without an answer have no duration.
"""

__all__ = ["CLIENT_SIDE", "DURATIONS", "MESSAGES", "SCOPE", "SCOPE_FIELD", "SERVER_SIDE"]

SCOPE = "pulka.edge"
"""The instrumentation scope of all that the agent sends."""
SCOPE_FIELD = "scope.name"
"""Where tables have it."""

DURATIONS: dict[str, tuple[str, str]] = {
    "http": ("http.server.request.duration", "http.client.request.duration"),
    "rpc": ("rpc.server.call.duration", "rpc.client.call.duration"),
    "db": ("pulka.db.server.operation.duration", "db.client.operation.duration"),
    "messaging": ("pulka.messaging.server.operation.duration", "messaging.client.operation.duration"),
    "dns": ("pulka.dns.server.lookup.duration", "dns.lookup.duration"),
    "": ("pulka.server.request.duration", "pulka.client.request.duration"),
}
"""By area of the conventions: as the server has them, as the client has them."""

MESSAGES = ("pulka.server.messages", "pulka.client.messages")
"""Counts of one-way messages, by the same sides."""

SERVER_SIDE = (*(server for server, _ in DURATIONS.values()), MESSAGES[0])
CLIENT_SIDE = (*(client for _, client in DURATIONS.values()), MESSAGES[1])
