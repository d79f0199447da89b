"""The questions of a connection as requests, each with the way to read its answer: said once, sent by the client that waits and the one that does not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from pulka.surfaces.client.problems import raise_problem
from pulka.surfaces.client.result import Answer, Result, read_result
from pulka.surfaces.client.windows import Moment, selection_of, window_of

__all__ = ["Call", "cancel", "compare", "fields", "map_", "queries", "search", "services", "sql", "tables"]

T = TypeVar("T")
_Read = Callable[[httpx.Response], T]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. `given`: the arguments of `httpx.Client.request` beside its headers; `read` makes the answer of a good response."""

    method: str
    path: str
    read: _Read[T]
    given: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self, response: httpx.Response) -> T:
        """What the response says; it raises the error that a problem document tells of."""
        raise_problem(response)
        return self.read(response)


def sql(
    sql: str, *, since: Moment | None = None, until: Moment | None = None, limit: int | None = None, query_id: str | None = None
) -> Call[Result]:  # fmt: skip
    """Run one SELECT over the events from `since` to `until`. BadQuery and LimitExceeded say what to do.

    Under `query_id` it can be cancelled while it runs, and then raises Cancelled. An interrupt cancels it too.
    """
    return _query({"sql": sql, "limits": {"rows": limit}}, since, until, query_id)


def search(
    text: str = "", *, table: str = "logs", columns: Sequence[str] = (), order: str = "newest", limit: int = 1000,
    since: Moment | None = None, until: Moment | None = None, query_id: str | None = None,
) -> Call[Result]:  # fmt: skip
    """The events that a search (docs/search.md) finds; the SQL it means is in `stats["sql"]`."""
    return _query({"search": text, "table": table, "columns": list(columns), "order": order, "limit": limit}, since, until, query_id)


def compare(
    selection: str | Mapping[str, Any], baseline: str | Mapping[str, Any] | None = None, *, table: str = "logs",
    since: Moment | None = None, until: Moment | None = None, **more: Any,
) -> Call[Answer]:  # fmt: skip
    """How two selections differ, field by field, ranked; without a baseline, from all other events of the window.

    A selection is a search, or a mapping with `search` or `where`, `start` and `end`.
    """
    body = {"table": table, "selection": selection_of(selection), "window": window_of(since, until), **more}
    if baseline is not None:
        body["baseline"] = selection_of(baseline)
    return Call("POST", "/api/v1/compare", _as_answer("fields"), {"json": body})


def services(*, since: Moment | None = None, until: Moment | None = None) -> Call[Answer]:
    """Every service with rate, errors and duration; `source` says whether spans, the agent or both tell of it."""
    return Call("GET", "/api/v1/services", _as_answer("services"), {"params": _moments(since, until)})


def map_(*, since: Moment | None = None, until: Moment | None = None) -> Call[Answer]:
    """Who calls whom: `nodes` and `edges`, the latter with rate, errors and duration."""
    return Call("GET", "/api/v1/map", _as_answer("edges"), {"params": _moments(since, until)})


def tables() -> Call[list[dict[str, Any]]]:
    """Every table and what is stored of it."""
    return Call("GET", "/api/v1/tables", _as_list("tables"))


def fields(table: str) -> Call[list[dict[str, Any]]]:
    """Every field of a table with its types."""
    return Call("GET", "/api/v1/fields", _as_list("fields"), {"params": {"table": table}})


def queries() -> Call[list[dict[str, Any]]]:
    """The queries that run or wait now, and how far they are."""
    return Call("GET", "/api/v1/queries", _as_list("queries"))


def cancel(query_id: str) -> Call[dict[str, Any]]:
    """Stop a query; how far it was. NotFound when it has ended."""
    return Call("DELETE", f"/api/v1/queries/{quote(query_id, safe='')}", httpx.Response.json)


def _query(asked: dict[str, Any], since: Moment | None, until: Moment | None, query_id: str | None) -> Call[Result]:
    body = {**asked, "window": window_of(since, until), "format": "arrow"}
    headers = {} if query_id is None else {"Pulka-Query-Id": query_id}
    return Call("POST", "/api/v1/query", lambda response: read_result(response.content), {"json": body}, headers)


def _moments(since: Moment | None, until: Moment | None) -> dict[str, str]:
    return {name: moment for name, moment in window_of(since, until).items() if moment is not None}


def _as_answer(rows_under: str) -> _Read[Answer]:
    return lambda response: Answer(response.json(), rows_under)


def _as_list(name: str) -> _Read[list[dict[str, Any]]]:
    return lambda response: list(response.json()[name])
