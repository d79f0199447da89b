"""A live tail over HTTP that connects again by itself and then goes on where it was."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any

import httpx

from pulka.clock import SystemClock
from pulka.errors import Temporary
from pulka.surfaces.client.problems import error_of, raise_problem
from pulka.surfaces.client.sse import Event, Lines, events
from pulka.surfaces.client.waiting import rest

__all__ = ["follow", "follow_async", "rows_of"]

_PATH = "/api/v1/tail"
_TIMEOUT = httpx.Timeout(60, connect=5)
_PATIENCE_S = 300.0
_PAUSE_S = 0.5
_OF_THE_CONNECTION = ("open", "heartbeat", "end")


class _Tail:
    """Where a tail is, over all its connections."""

    def __init__(self, question: Mapping[str, Any]) -> None:
        self._question = {name: value for name, value in question.items() if value is not None}
        self._after: str | None = None
        self._lost_s: float | None = None
        self.clock = SystemClock()

    def question(self) -> dict[str, Any]:
        """What to ask for now."""
        return {**self._question, "after": self._after, "last": 0} if self._after else self._question

    def took(self, event: Event) -> bool:
        """Note where it is; whether the event is for the reader."""
        self._after, self._lost_s = event.id or self._after, None
        return event.name not in _OF_THE_CONNECTION

    def lost(self, error: Exception) -> None:
        """The connection broke. It raises where that is hopeless: the first one, or five minutes without one."""
        now_s = self.clock.monotonic_s()
        self._lost_s = now_s if self._lost_s is None else self._lost_s
        if self._after is None or now_s - self._lost_s > _PATIENCE_S:
            raise error


def follow(client: httpx.Client, question: Mapping[str, Any], headers: Mapping[str, str], note: Callable[[str], None] = lambda text: None) -> Iterator[Event]:
    """Every event but those of the connection itself, for ever.

    `note` is told when the connection is made again. Temporary when that fails for five minutes, and at once when the first
    connection fails.
    """
    tail = _Tail(question)
    while True:
        try:
            with client.stream("GET", _PATH, params=tail.question(), headers=dict(headers), timeout=_TIMEOUT) as response:
                raise_problem(response)
                yield from filter(tail.took, events(response.iter_lines()))
        except (httpx.TransportError, Temporary) as error:
            tail.lost(error)
        note("connecting again")
        rest(tail.clock, _PAUSE_S)


async def follow_async(client: httpx.AsyncClient, question: Mapping[str, Any], headers: Mapping[str, str]) -> AsyncGenerator[Event, None]:
    """The same without blocking."""
    tail = _Tail(question)
    while True:
        try:
            async with client.stream("GET", _PATH, params=tail.question(), headers=dict(headers), timeout=_TIMEOUT) as response:
                if not response.is_success:
                    await response.aread()
                raise_problem(response)
                lines = Lines()
                async for line in response.aiter_lines():
                    if (event := lines.take(line)) is not None and tail.took(event):
                        yield event
        except (httpx.TransportError, Temporary) as error:
            tail.lost(error)
        await tail.clock.sleep(_PAUSE_S)


def rows_of(event: Event, dropped: Callable[[int], None]) -> list[dict[str, Any]]:
    """The events that it brings; `dropped` is told of those it counts. It raises the problem that it tells of."""
    if event.name == "problem":
        raise error_of(event.data)
    if event.name == "dropped":
        dropped(event.data["rows"])
    return list(event.data) if event.name == "rows" else []
