"""`pulka.connect`: a lake behind a URL, or a state directory opened in this process."""

import asyncio
import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pyarrow as pa

from pulka.clock import SystemClock
from pulka.errors import BadInput, Misconfigured, Temporary
from pulka.surfaces.client.outgoing import bodies
from pulka.surfaces.client.problems import error_of, is_tls, raise_problem
from pulka.surfaces.client.result import Answer, Result, table_html

__all__ = ["Connection", "Ingested", "Moment", "open_connection"]

Moment = str | datetime | timedelta
"""RFC 3339 or `15m` as text, a datetime (without a zone: local time), or how long ago."""
_ATTEMPTS = 6
_TIMEOUT = httpx.Timeout(120, connect=5)


@dataclass(frozen=True)
class Ingested:
    """What became of events: `rejected` ones are told with line (from 1, within their request) and reason."""

    rows: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()


class Connection:
    """A lake. Close it, or use it in a `with`; one embedded in this process then keeps what it has and ends."""

    def __init__(self, client: httpx.Client, tenant: str, where: str, close: Callable[[], None] = lambda: None) -> None:
        self._client, self._where, self._close = client, where, close
        self._headers = {"X-Pulka-Tenant": tenant}
        self.tenant = tenant

    def sql(
        self, sql: str, *, since: Moment | None = None, until: Moment | None = None, limit: int | None = None, query_id: str | None = None
    ) -> Result:  # fmt: skip
        """Run one SELECT over the events from `since` to `until`. BadQuery and LimitExceeded say what to do.

        Under `query_id` another thread can `cancel` it, and this one then raises Cancelled. An interrupt cancels it too.
        """
        return self._query({"sql": sql, "limits": {"rows": limit}}, since, until, query_id)

    def search(
        self, text: str = "", *, table: str = "logs", columns: Sequence[str] = (), order: str = "newest", limit: int = 1000,
        since: Moment | None = None, until: Moment | None = None,
    ) -> Result:  # fmt: skip
        """The events that a search (docs/search.md) finds; the SQL it means is in `stats["sql"]`."""
        asked = {"search": text, "table": table, "columns": list(columns), "order": order, "limit": limit}
        return self._query(asked, since, until)

    def tail(
        self, table: str = "logs", *, search: str | None = None, where: str | None = None, last: int = 0, dropped: Callable[[int], None] = lambda rows: None
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Events as they come, for ever; connects again by itself. `dropped` is told how many rows were not shown."""
        from pulka.surfaces.client.tailing import follow

        question = {"table": table, "search": search, "where": where, "last": last}
        with self._reached():
            for event in follow(self._client, question, self._headers):
                if event.name == "rows":
                    yield from event.data
                elif event.name == "dropped":
                    dropped(event.data["rows"])
                elif event.name == "problem":
                    raise error_of(event.data)

    def ingest(self, table: str, data: Any) -> Ingested:
        """Store events: an Arrow table, batch or reader, a Polars or pandas data frame, or dicts. Durable when this returns.

        The events are sent in parts of some MB. One that the server cannot take now is sent again, and stored once.
        """
        total = Ingested()
        call = SystemClock().random.randbytes(16)  # the same events sent twice on purpose are stored twice
        for number, body in enumerate(bodies(data)):
            key = blake2b(body, digest_size=16, key=call, salt=number.to_bytes(8, "big")).hexdigest()
            told = self._send(f"/api/v1/ingest/{table}", body, key)
            reasons = {name: total.reasons.get(name, 0) + told.get("reasons", {}).get(name, 0) for name in {**total.reasons, **told.get("reasons", {})}}
            samples = (*total.samples, *told.get("samples", ()))[:20]
            total = Ingested(total.rows + told["rows"], total.rejected + told["rejected"], reasons, samples)
        return total

    def queries(self) -> list[dict[str, Any]]:
        """The queries that run or wait now, and how far they are."""
        return list(self._json("GET", "/api/v1/queries")["queries"])

    def cancel(self, query_id: str) -> dict[str, Any]:
        """Stop a query; how far it was. NotFound when it has ended."""
        return self._json("DELETE", f"/api/v1/queries/{quote(query_id, safe='')}")

    def compare(
        self, selection: str | Mapping[str, Any], baseline: str | Mapping[str, Any] | None = None, *, table: str = "logs",
        since: Moment | None = None, until: Moment | None = None, **more: Any,
    ) -> Answer:  # fmt: skip
        """How two selections differ, field by field, ranked; without a baseline, from all other events of the window.

        A selection is a search, or a mapping with `search` or `where`, `start` and `end`.
        """
        body = {"table": table, "selection": _selection(selection), "window": _window(since, until), **more}
        if baseline is not None:
            body["baseline"] = _selection(baseline)
        return Answer(self._json("POST", "/api/v1/compare", body), "fields")

    def services(self, *, since: Moment | None = None, until: Moment | None = None) -> Answer:
        """Every service with rate, errors and duration; `source` says whether spans, the agent or both tell of it."""
        return Answer(self._asked("/api/v1/services", since, until), "services")

    def map(self, *, since: Moment | None = None, until: Moment | None = None) -> Answer:
        """Who calls whom: `nodes` and `edges`, the latter with rate, errors and duration."""
        return Answer(self._asked("/api/v1/map", since, until), "edges")

    def tables(self) -> list[dict[str, Any]]:
        """Every table and what is stored of it."""
        return list(self._json("GET", "/api/v1/tables")["tables"])

    def fields(self, table: str) -> list[dict[str, Any]]:
        """Every field of a table with its types."""
        with self._reached():
            response = self._client.get("/api/v1/fields", params={"table": table}, headers=self._headers)
            raise_problem(response)
        return list(response.json()["fields"])

    def close(self) -> None:
        """Disconnect."""
        self._client.close()
        self._close()
        self._close = lambda: None

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<pulka at {self._where}, tenant {self.tenant}>"

    def _repr_html_(self) -> str:
        columns = ["name", "rows", "fields", "fragments", "bytes", "start", "end"]
        return table_html(columns, [[table[name] for name in columns] for table in self.tables()], repr(self)[1:-1])

    def _query(self, asked: dict[str, Any], since: Moment | None, until: Moment | None, query_id: str | None = None) -> Result:
        body = {**asked, "window": _window(since, until), "format": "arrow"}
        headers = self._headers if query_id is None else {**self._headers, "Pulka-Query-Id": query_id}
        with self._reached():
            response = self._client.post("/api/v1/query", json=body, headers=headers)  # an interrupt hangs up, which cancels
            raise_problem(response)
        return _result(response.content)

    def _asked(self, path: str, since: Moment | None, until: Moment | None) -> dict[str, Any]:
        moments = {name: moment for name, moment in _window(since, until).items() if moment is not None}
        return self._json("GET", path, params=moments)

    def _json(self, method: str, path: str, body: object = None, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        with self._reached():
            response = self._client.request(method, path, json=body, params=params, headers=self._headers)
            raise_problem(response)
        answer: dict[str, Any] = response.json()
        return answer

    def _send(self, path: str, body: bytes, key: str) -> dict[str, Any]:
        headers = {**self._headers, "Content-Type": "application/x-ndjson", "Idempotency-Key": key}
        clock = SystemClock()
        for attempt in range(_ATTEMPTS):
            try:
                with self._reached():
                    return _outcome(self._client.post(path, content=body, headers=headers))
            except Temporary:
                if attempt == _ATTEMPTS - 1:
                    raise
                _rest(clock, 0.2 * 2**attempt)
        raise AssertionError("unreachable")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise Temporary(f"nothing listens at {self._where}", hint="start Pulka with `pulka up`, or connect to its address") from error
        except httpx.TransportError as error:
            raise Temporary(f"the connection to {self._where} broke ({type(error).__name__})", hint="try again") from error


def open_connection(target: str | os.PathLike[str], *, tenant: str, create: bool) -> Connection:
    """By URL, or by directory in this process. Misconfigured when a server holds the directory, or there is none and `create` is not set."""
    if isinstance(target, str) and "://" in target:
        return Connection(httpx.Client(base_url=target.rstrip("/"), timeout=_TIMEOUT, trust_env=False, verify=is_tls(target)), tenant, target.rstrip("/"))
    directory = Path(target).expanduser()
    if not directory.is_dir() and not create:
        raise Misconfigured(f"there is no state directory {directory}", hint="name one, or make one with create=True")
    from pulka.surfaces.client.embedded import Embedded

    lake = Embedded(directory)
    atexit.register(lake.close)
    client = httpx.Client(base_url="http://pulka", transport=httpx.HTTPTransport(uds=lake.socket, verify=False), timeout=_TIMEOUT)
    return Connection(client, tenant, str(directory), lake.close)


def _rest(clock: SystemClock, seconds: float) -> None:
    """Also from within a notebook, whose thread has a loop that runs."""
    import threading

    waiting = threading.Thread(target=lambda: asyncio.run(clock.sleep(seconds)))
    waiting.start()
    waiting.join()


def _result(content: bytes) -> Result:
    """The stream over the bytes of the answer, which are not copied; its last batch is empty and has the statistics."""
    batches, stats = [], {}
    with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                break
            except pa.ArrowInvalid as error:
                raise Temporary("the answer broke off", hint="ask again; the server's log says why") from error
            if metadata is not None and b"pulka.stats" in metadata:
                stats = msgspec.json.decode(metadata[b"pulka.stats"])
            if batch.num_rows:
                batches.append(batch)
        return Result(pa.Table.from_batches(batches, reader.schema), stats)


def _outcome(response: httpx.Response) -> dict[str, Any]:
    """The counts; a body of which nothing could be kept is a problem that has them too."""
    if response.status_code == 400 and "rejected" in (problem := response.json()):
        return {"rows": 0, **problem}
    raise_problem(response)
    counts: dict[str, Any] = response.json()
    return counts


def _window(since: Moment | None, until: Moment | None) -> dict[str, str | None]:
    return {"start": _moment(since), "end": _moment(until)}


def _moment(moment: Moment | None) -> str | None:
    if moment is None or isinstance(moment, str):
        return moment
    if isinstance(moment, timedelta):
        return f"{int(moment.total_seconds())}s"
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _selection(given: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, str):
        return {"search": given}
    unknown = set(given) - {"search", "where", "start", "end"}
    if unknown:
        raise BadInput(f"a selection has no `{sorted(unknown)[0]}`", hint="it has search or where, start and end")
    ends = {name: _moment(given[name]) for name in ("start", "end") if name in given}
    return {**given, **ends}
