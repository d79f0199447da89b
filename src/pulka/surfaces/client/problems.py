"""What every HTTP client of the API needs: problem documents raised as the errors they tell of, and whether to read certificates."""

from typing import Any

import httpx

from pulka import errors

__all__ = ["error_of", "is_tls", "raise_problem"]

_BY_KIND: dict[str, type[errors.PulkaError]] = {
    kind.kind: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PulkaError)
}


def is_tls(url: str) -> bool:
    """The `verify` of an httpx client: where no certificate comes, reading the trusted ones would cost 0.1 CPU-seconds."""
    return url.lower().startswith("https:")


def raise_problem(response: httpx.Response) -> None:
    """Raise the error that a problem document describes; nothing when the answer is good."""
    if response.is_success:
        return
    if not response.is_closed:
        response.read()
    problem = _problem(response)
    fallback = errors.Temporary if response.status_code in (429, 503) else errors.PulkaError
    raise error_of({"message": problem.get("detail") or problem.get("title") or response.reason_phrase, **problem}, fallback)


def error_of(told: dict[str, Any], fallback: type[errors.PulkaError] = errors.PulkaError) -> errors.PulkaError:
    """The error with this kind, message and hint."""
    kind = _BY_KIND.get(str(told.get("kind")), fallback)
    return kind(str(told.get("message", "")), hint=str(told.get("hint", "")))


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {"title": f"HTTP {response.status_code}"}
    return body if isinstance(body, dict) else {}
