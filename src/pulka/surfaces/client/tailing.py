"""A live tail over HTTP that connects again by itself and then goes on where it was."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from pulka.clock import SystemClock
from pulka.errors import Temporary
from pulka.surfaces.client.problems import raise_problem
from pulka.surfaces.client.sse import Event, events

__all__ = ["follow"]

_SILENCE_S = 60.0
_PATIENCE_S = 300.0


def follow(client: httpx.Client, question: Mapping[str, Any], headers: Mapping[str, str], note: Callable[[str], None] = lambda text: None) -> Iterator[Event]:
    """Every event but those of the connection itself, for ever.

    `note` is told when the connection is made again. Temporary when that fails for five minutes, and at once when the first
    connection fails.
    """
    clock, after, lost_s = SystemClock(), None, None
    while True:
        asked = {**question, "after": after, "last": 0} if after else dict(question)
        try:
            for event in _read(client, asked, headers):
                after, lost_s = event.id or after, None
                if event.name == "end":
                    break
                if event.name not in ("open", "heartbeat"):
                    yield event
        except (httpx.TransportError, Temporary):
            lost_s = clock.monotonic_s() if lost_s is None else lost_s
            if after is None or clock.monotonic_s() - lost_s > _PATIENCE_S:
                raise
        note("connecting again")
        asyncio.run(clock.sleep(0.5))


def _read(client: httpx.Client, question: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[Event]:
    given = {name: value for name, value in question.items() if value is not None}
    timeout = httpx.Timeout(_SILENCE_S, connect=5)
    with client.stream("GET", "/api/v1/tail", params=given, headers=dict(headers), timeout=timeout) as response:
        raise_problem(response)
        yield from events(response.iter_lines())
