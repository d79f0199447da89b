"""`pulka.connect_async`: the same lake for programs that wait for many things at once."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from pulka.clock import SystemClock
from pulka.errors import Temporary
from pulka.surfaces.client import calls
from pulka.surfaces.client.calls import Call
from pulka.surfaces.client.ingesting import PAUSES_S, Ingested, parts
from pulka.surfaces.client.opening import Target, open_target
from pulka.surfaces.client.tailing import follow_async, rows_of

__all__ = ["AsyncConnection", "Opening"]

P = ParamSpec("P")
T = TypeVar("T")


def _asks(call: Callable[P, Call[T]]) -> "Callable[Concatenate[AsyncConnection, P], Awaitable[T]]":
    @wraps(call)
    async def ask(self: "AsyncConnection", /, *args: P.args, **more: P.kwargs) -> T:
        return await self._ask(call(*args, **more))

    return ask


class AsyncConnection:
    """A lake, asked without blocking the event loop; a task that is cancelled cancels its query. Close it, or use it in an `async with`."""

    def __init__(self, target: Target, tenant: str) -> None:
        transport = None if target.socket is None else httpx.AsyncHTTPTransport(uds=target.socket, verify=False)
        self._target, self._client = target, httpx.AsyncClient(transport=transport, **target.options())
        self._headers = {"X-Pulka-Tenant": tenant}
        self.tenant = tenant

    sql = _asks(calls.sql)
    search = _asks(calls.search)
    compare = _asks(calls.compare)
    services = _asks(calls.services)
    map = _asks(calls.map_)
    tables = _asks(calls.tables)
    fields = _asks(calls.fields)
    queries = _asks(calls.queries)
    cancel = _asks(calls.cancel)

    async def tail(
        self, table: str = "logs", *, search: str | None = None, where: str | None = None, last: int = 0, dropped: Callable[[int], None] = lambda rows: None
    ) -> AsyncGenerator[dict[str, Any], None]:  # fmt: skip
        """Events as they come, for ever; connects again by itself. `dropped` is told how many rows were not shown."""
        question = {"table": table, "search": search, "where": where, "last": last}
        with self._target.reached():
            async with aclosing(follow_async(self._client, question, self._headers)) as events:
                async for event in events:
                    for row in rows_of(event, dropped):
                        yield row

    async def ingest(self, table: str, data: Any) -> Ingested:
        """Store events: an Arrow table, batch or reader, a Polars or pandas data frame, or dicts. Durable when this returns.

        The events are sent in parts of some MB. One that the server cannot take now is sent again, and stored once.
        """
        total, rest = Ingested(), parts(table, data)
        while (part := await asyncio.to_thread(next, rest, None)) is not None:
            total += await self._send(part)
        return total

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()
        await asyncio.to_thread(self._target.close)

    async def __aenter__(self) -> "AsyncConnection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<pulka at {self._target.name}, tenant {self.tenant}>"

    async def _ask(self, call: Call[T]) -> T:
        with self._target.reached():
            return call.answer(await self._client.request(call.method, call.path, headers={**self._headers, **call.headers}, **call.given))

    async def _send(self, part: Call[Ingested]) -> Ingested:
        for pause_s in PAUSES_S:
            try:
                return await self._ask(part)
            except Temporary:
                await SystemClock().sleep(pause_s)
        return await self._ask(part)


class Opening:
    """What `pulka.connect_async` gives: await it, or use it in an `async with`."""

    def __init__(self, target: str | os.PathLike[str], *, tenant: str, create: bool) -> None:
        self._target, self._tenant, self._create = target, tenant, create
        self._opened: AsyncConnection | None = None

    def __await__(self) -> Generator[Any, None, AsyncConnection]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncConnection:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(self, *_: object) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def _open(self) -> AsyncConnection:
        target = await asyncio.to_thread(open_target, self._target, create=self._create)
        return AsyncConnection(target, self._tenant)
