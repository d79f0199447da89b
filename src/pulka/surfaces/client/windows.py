"""Moments, windows and selections of a program as requests have them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pulka.errors import BadInput

__all__ = ["Moment", "selection_of", "window_of"]

Moment = str | datetime | timedelta
"""RFC 3339 or `15m` as text, a datetime (without a zone: local time), or how long ago."""


def window_of(since: Moment | None, until: Moment | None) -> dict[str, str | None]:
    """A window; a missing side is open."""
    return {"start": _moment(since), "end": _moment(until)}


def selection_of(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """A selection: a search, or a mapping. BadInput when that has a name which selections have not."""
    if isinstance(given, str):
        return {"search": given}
    unknown = set(given) - {"search", "where", "start", "end"}
    if unknown:
        raise BadInput(f"a selection has no `{sorted(unknown)[0]}`", hint="it has search or where, start and end")
    ends = {name: _moment(given[name]) for name in ("start", "end") if name in given}
    return {**given, **ends}


def _moment(moment: Moment | None) -> str | None:
    if moment is None or isinstance(moment, str):
        return moment
    if isinstance(moment, timedelta):
        return f"{int(moment.total_seconds())}s"
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
