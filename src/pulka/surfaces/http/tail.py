"""GET /api/v1/tail: events as they come, by server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

- `open`: `{"table", "sql"}`, what is tailed.
- `rows`: an array of events, fields without a value left out; values as in the results of a query.
- `dropped`: `{"rows", "reason"}`, events that are not shown: `rate` matched, and were more than may be shown in a second; `reader` were
  not even looked at, because the reader was too slow.
- `gap`: what came after the position asked for is not held any more; nobody knows how much it was.
- `heartbeat`: nothing came for a while.
- `end`: the server stops. `problem`: the filter failed, `kind`, `message` and `hint` say how.

The id of an event is where to resume behind it: `after`, or `Last-Event-ID`, which browsers send by themselves.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pulka.errors import BadInput, PulkaError
from pulka.query.tails import Delivery, Subscription
from pulka.seams import Position
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.results import rows_of
from pulka.surfaces.http.services import TailsOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["query"])

LAST_MAX = 10_000
_TOKEN = re.compile(r"(\d{1,9})-(\d{1,18})", re.A)
_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"description": "Server-sent events, until the reader leaves", "content": {"text/event-stream": {}}}}
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second: proxies must not collect it
_to_json = msgspec.json.Encoder(decimal_format="string").encode


@router.get("/api/v1/tail", responses=_ANSWERS | RESPONSES, response_class=Response)
async def tail(
    tails: TailsOf,
    tenant: TenantOf,
    table: Annotated[str, Query(max_length=100)] = "logs",
    search: Annotated[str | None, Query(description="The search syntax of docs/search.md")] = None,
    where: Annotated[str | None, Query(min_length=1, description="Or a boolean SQL expression over the table's fields")] = None,
    after: Annotated[str | None, Query(max_length=40, description="The id of the last event that was read")] = None,
    last: Annotated[int, Query(ge=0, le=LAST_MAX, description="Begin with so many of the newest events that are held")] = 0,
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> Response:
    """Show events as they come, filtered by a search or a SQL condition, as server-sent events."""
    if search is not None and where is not None:
        raise BadInput("a tail is filtered by either `search` or `where`", hint="give one of them")
    resume = after or last_event_id
    position = _position(resume) if resume else None
    subscription = await tails.subscribe(tenant, table, where=where, search=search, after=position, last=last)
    return _Tail(subscription)


class _Tail(StreamingResponse):
    """Leaves the subscription however the response ends, even before its first byte."""

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(_events(subscription), headers=_HEADERS, media_type="text/event-stream")
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._subscription.close()


async def _events(subscription: Subscription) -> AsyncIterator[bytes]:
    chosen = subscription.filter
    yield b"retry: 1000\n" + _event("open", {"table": chosen.table, "sql": chosen.sql}, subscription.start)
    try:
        async with aclosing(subscription.deliveries()) as deliveries:  # type: ignore[type-var]
            async for delivery in deliveries:
                yield await asyncio.to_thread(_of, delivery) if delivery.rows else _of(delivery)
    except PulkaError as error:
        yield _event("problem", error.as_dict())
    else:
        yield _event("end", {"reason": "the server stops"})


def _of(delivery: Delivery) -> bytes:
    """A delivery as one piece, whose last event alone has an id: what breaks off midway comes again."""
    told: list[tuple[str, object]] = []
    if delivery.gap:
        told.append(("gap", {"hint": "ask the query endpoint for what is missing"}))
    if delivery.unread:
        told.append(("dropped", {"rows": delivery.unread, "reason": "reader"}))
    if delivery.rows:
        told.append(("rows", [_present(row) for batch in delivery.rows for rows in rows_of(batch) for row in rows]))
    if delivery.over_rate:
        told.append(("dropped", {"rows": delivery.over_rate, "reason": "rate"}))
    told = told or [("heartbeat", {})]
    return b"".join(_event(name, data, delivery.upto if number == len(told) else None) for number, (name, data) in enumerate(told, 1))


def _present(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if value is not None}


def _event(name: str, data: object, at: Position | None = None) -> bytes:
    marked = b"id: %d-%d\n" % (at.partition, at.sequence) if at else b""
    return marked + b"event: %s\ndata: %s\n\n" % (name.encode(), _to_json(data))


def _position(token: str) -> Position:
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise BadInput("this is no position in a live tail", hint="resume with the id of the last event you got")
    return Position(int(found[1]), int(found[2]))
