"""`bucket(timestamp, '1m')`: the beginning of the bucket a time falls in; `buckets('1m')`: every bucket of a window, to fill gaps.

Buckets count from 1970-01-01 UTC, weeks from a Monday. `1mo`, `1q` and `1y` are those of the calendar.
"""

from pulka.errors import BadQuery
from pulka.model.moments import moment_ns, rfc3339
from pulka.model.windows import TimeRange
from pulka.query.functions.literals import text, width_ns

__all__ = ["bucket", "series"]

_BUCKETS_MAX = 100_000
_CALENDAR = {"1mo": "month", "1q": "quarter", "1y": "year"}
_UNITS = {10**9: "second", 60 * 10**9: "minute"}
"""Widths for which `date_trunc` says the same in half the time."""
_WEEK_NS = 7 * 86_400 * 1_000_000_000
_MONDAY_NS = 4 * 86_400 * 1_000_000_000
_BUCKET = "bucket(timestamp, '1m')"
_SERIES = "buckets('1m', '2026-01-31T12:00:00Z', '2026-01-31T13:00:00Z')"


def bucket(given: list[str]) -> str:
    """`date_bin`, or `date_trunc` for the widths it knows."""
    if len(given) != 2:
        raise BadQuery("bucket takes a time and a width", hint=f"as in {_BUCKET}")
    if unit := _CALENDAR.get(given[1].strip("'")):
        return f"date_trunc('{unit}', {given[0]})"
    width = width_ns(given[1], _BUCKET)
    if width in _UNITS:
        return f"date_trunc('{_UNITS[width]}', {given[0]})"
    origin = f", TIMESTAMP '{rfc3339(_MONDAY_NS)}'" if width % _WEEK_NS == 0 else ""
    return f"date_bin(INTERVAL '{width} nanoseconds', {given[0]}{origin})"


def series(given: list[str], window: TimeRange, now_ns: int) -> str:
    """A subquery with one column, `bucket`: each bucket that the window touches."""
    if len(given) not in (1, 3):
        raise BadQuery("buckets takes a width, or a width and two times", hint=f"as in {_SERIES}")
    width = width_ns(given[0], _SERIES)
    start, end = (moment_ns(text(one, _SERIES), now_ns) for one in given[1:]) if len(given) == 3 else (window.start_ns, window.end_ns)
    if start is None:
        raise BadQuery("buckets needs to know from when to when", hint=f"give the query a window, or name both: {_SERIES}")
    end = now_ns if end is None else end
    origin = _MONDAY_NS if width % _WEEK_NS == 0 else 0
    first = (start - origin) // width * width + origin
    if (end - first) // width > _BUCKETS_MAX:
        raise BadQuery(f"that would be more than {_BUCKETS_MAX:,} buckets", hint="take wider ones, or a shorter window")
    if first >= end:
        return "(SELECT timestamp AS bucket FROM logs WHERE FALSE)"
    step = f"INTERVAL '{width} nanoseconds'"
    values = f"generate_series(TIMESTAMP '{rfc3339(first)}', TIMESTAMP '{rfc3339(max(first, end - 1))}', {step})"
    return f"(SELECT arrow_cast(value, 'Timestamp(Nanosecond, Some(\"UTC\"))') AS bucket FROM {values})"  # noqa: S608 - built from numbers
