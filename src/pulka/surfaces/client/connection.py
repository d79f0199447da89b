"""`pulka.connect`: a lake behind a URL, or a state directory opened in this process."""

import os
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from pulka.clock import SystemClock
from pulka.errors import Temporary
from pulka.surfaces.client import calls
from pulka.surfaces.client.calls import Call
from pulka.surfaces.client.ingesting import PAUSES_S, Ingested, parts
from pulka.surfaces.client.opening import Target, open_target
from pulka.surfaces.client.result import table_html
from pulka.surfaces.client.tailing import follow, rows_of
from pulka.surfaces.client.waiting import rest

__all__ = ["Connection", "open_connection"]

P = ParamSpec("P")
T = TypeVar("T")


def _asks(call: Callable[P, Call[T]]) -> "Callable[Concatenate[Connection, P], T]":
    @wraps(call)
    def ask(self: "Connection", /, *args: P.args, **more: P.kwargs) -> T:
        return self._ask(call(*args, **more))

    return ask


class Connection:
    """A lake. Close it, or use it in a `with`; one embedded in this process then keeps what it has and ends."""

    def __init__(self, target: Target, tenant: str) -> None:
        transport = None if target.socket is None else httpx.HTTPTransport(uds=target.socket, verify=False)
        self._target, self._client = target, httpx.Client(transport=transport, **target.options())
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

    def tail(
        self, table: str = "logs", *, search: str | None = None, where: str | None = None, last: int = 0, dropped: Callable[[int], None] = lambda rows: None
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Events as they come, for ever; connects again by itself. `dropped` is told how many rows were not shown."""
        question = {"table": table, "search": search, "where": where, "last": last}
        with self._target.reached():
            for event in follow(self._client, question, self._headers):
                yield from rows_of(event, dropped)

    def ingest(self, table: str, data: Any) -> Ingested:
        """Store events: an Arrow table, batch or reader, a Polars or pandas data frame, or dicts. Durable when this returns.

        The events are sent in parts of some MB. One that the server cannot take now is sent again, and stored once.
        """
        total = Ingested()
        for part in parts(table, data):
            total += self._send(part)
        return total

    def close(self) -> None:
        """Disconnect."""
        self._client.close()
        self._target.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<pulka at {self._target.name}, tenant {self.tenant}>"

    def _repr_html_(self) -> str:
        columns = ["name", "rows", "fields", "fragments", "bytes", "start", "end"]
        return table_html(columns, [[table[name] for name in columns] for table in self.tables()], repr(self)[1:-1])

    def _ask(self, call: Call[T]) -> T:
        with self._target.reached():  # an interrupt hangs up, which cancels
            return call.answer(self._client.request(call.method, call.path, headers={**self._headers, **call.headers}, **call.given))

    def _send(self, part: Call[Ingested]) -> Ingested:
        for pause_s in PAUSES_S:
            try:
                return self._ask(part)
            except Temporary:
                rest(SystemClock(), pause_s)
        return self._ask(part)


def open_connection(target: str | os.PathLike[str], *, tenant: str, create: bool) -> Connection:
    """By URL, or by directory in this process. Misconfigured when a server holds the directory, or there is none and `create` is not set."""
    return Connection(open_target(target, create=create), tenant)
