"""Errors as RFC 9457 problem details: `kind` and `hint` of `pulka.errors` beside the standard members."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pulka.errors import KINDS, BadInput, BadQuery, PulkaError, Temporary

__all__ = ["CONTENT_TYPE", "PROBLEM_SCHEMA", "RESPONSES", "install", "problem", "retry_after"]

CONTENT_TYPE = "application/problem+json"
_HTTP_ERRORS = {404: ("not_found", "see /openapi.json for every endpoint"), 413: ("too_large", "ask for less at once, or raise query_text_bytes_max")}
_CLIENT_CLOSED_REQUEST = 499  # nginx's; nobody reads it but the metrics

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "kind", "hint"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one line for a person"},
        "kind": {"type": "string", "enum": list(KINDS)},
        "hint": {"type": "string", "description": "what to do next"},
        "span": {"type": "array", "items": {"type": "integer"}, "description": "where in a search: first and behind last character, from 0"},
    },
}
_CONTENT = {CONTENT_TYPE: {"schema": PROBLEM_SCHEMA}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"description": "Fix what you sent, then send it again", "content": _CONTENT},
    404: {"description": "Name something that exists", "content": _CONTENT},
    409: {"description": "It was cancelled", "content": _CONTENT},
    413: {"description": "Send less at once", "content": _CONTENT},
    422: {"description": "Narrow the question", "content": _CONTENT},
    503: {"description": "Wait Retry-After seconds, then send the same again", "content": _CONTENT},
}


def problem(error: PulkaError, **members: object) -> Response:
    """The response that tells `error`; `members` are extension members."""
    return _problem(error.http_status, error.as_dict(), retry_after(error), members)


def retry_after(error: PulkaError) -> dict[str, str]:
    """The Retry-After header of a temporary error, in whole seconds, no sooner than meant."""
    return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))} if isinstance(error, Temporary) else {}


def install(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""
    app.add_exception_handler(PulkaError, _on_pulka_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unknown_error)


def _problem(
    status: int, error: Mapping[str, str], headers: Mapping[str, str], members: Mapping[str, object] | None = None
) -> Response:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error["message"],
        "kind": error["kind"],
        "hint": error["hint"],
        **(members or {}),
    }
    return Response(msgspec.json.encode(body), status, headers, CONTENT_TYPE)


async def _on_pulka_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PulkaError)
    return problem(error, span=error.span) if isinstance(error, BadQuery) and error.span else problem(error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return problem(BadInput(f"{where}: {first['msg']}", hint="see /openapi.json for what this endpoint takes"))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind, hint = _HTTP_ERRORS.get(error.status_code, ("bad_input", "see /openapi.json for every endpoint"))
    told = {"kind": kind, "message": str(error.detail), "hint": hint}
    return _problem(error.status_code, told, error.headers or {})


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _on_unknown_error(request: Request, error: Exception) -> Response:
    """Nothing of the error itself goes out; the server logs it, because Starlette raises it again."""
    told = {"kind": "internal", "message": "Pulka failed in a way it did not foresee", "hint": "see the server's log"}
    return _problem(500, told, {})
