"""Bounds the bodies of questions, which are read whole before they are looked at. Events are bounded where they are taken (`body.py`)."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Bounded"]

_QUESTIONS, _EVENTS = "/api/v1/", "/api/v1/ingest/"


class Bounded:
    """Middleware: a body larger than `bytes_max` is answered 413, at its first byte beyond."""

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app, self._bytes_max = app, bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        bounded = scope["type"] == "http" and scope["path"].startswith(_QUESTIONS) and not scope["path"].startswith(_EVENTS)
        await self._app(scope, self._counted(receive) if bounded else receive, send)

    def _counted(self, receive: Receive) -> Receive:
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._bytes_max:
                raise HTTPException(413, f"a question is larger than {self._bytes_max} bytes")  # FastAPI lets no other error through here
            return message

        return counted
