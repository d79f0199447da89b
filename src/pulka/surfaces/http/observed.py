"""Counts and times every request. Plain ASGI, so that a body or a stream is never copied on the way through."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulka.seams import Clock
from pulka.telemetry import Registry

__all__ = ["Observed"]


class Observed:
    """Middleware: requests by route, method and status, and their duration by route."""

    def __init__(self, app: ASGIApp, clock: Clock, metrics: Registry) -> None:
        self._app, self._clock = app, clock
        self._requests = metrics.counter("pulka_http_requests_total", "HTTP requests", "route", "method", "status")
        self._duration = metrics.histogram("pulka_http_request_duration_seconds", "Time to the last byte", "route")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; only HTTP is counted."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status = "500"

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        began_s = self._clock.monotonic_s()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._observe(scope, status, self._clock.monotonic_s() - began_s)

    def _observe(self, scope: Scope, status: str, duration_s: float) -> None:
        """By the route's pattern, not its path: paths are the client's and have no bound."""
        route = getattr(scope.get("route"), "path", "unmatched")
        self._requests.add(1, route, scope["method"], status)
        self._duration.observe(duration_s, route)
