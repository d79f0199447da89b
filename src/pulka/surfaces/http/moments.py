"""Moments as people write them: RFC 3339, `now`, or a distance back from now such as `15m`."""

import re
from datetime import UTC, datetime

from pulka.errors import BadInput
from pulka.model.windows import TimeRange

__all__ = ["duration_s", "moment_ns", "time_range"]

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(?:now)?-?(\d{1,9})([smhdw])")
_LENGTH = re.compile(r"(\d{1,9})([smhdw])")
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?")
_NS_MIN, _NS_MAX = -(2**63), 2**63 - 1


def time_range(start: str | None, end: str | None, now_ns: int) -> TimeRange:
    """The range from `start` to `end`; a missing side is open."""
    first = moment_ns(start, now_ns) if start else None
    last = moment_ns(end, now_ns) if end else None
    if first is not None and last is not None and first > last:
        raise BadInput("the window ends before it starts", hint="exchange start and end")
    return TimeRange(first, last)


def moment_ns(text: str, now_ns: int) -> int:
    """Nanoseconds since 1970 UTC. A time without a zone is UTC. BadInput when unreadable."""
    if text == "now":
        return now_ns
    if ago := _AGO.fullmatch(text):
        return max(_NS_MIN, now_ns - int(ago[1]) * _UNIT_S[ago[2]] * 1_000_000_000)
    if stamp := _RFC3339.fullmatch(text):
        return _stamp_ns(stamp)
    raise _unreadable()


def duration_s(text: str) -> int:
    """Seconds of `36h`, `30d` and the like; `0` and `forever` are 0. BadInput when unreadable."""
    if text in ("0", "forever"):
        return 0
    if length := _LENGTH.fullmatch(text):
        return int(length[1]) * _UNIT_S[length[2]]
    raise BadInput("a length of time cannot be read", hint="use a number and a unit, as in 90m, 36h, 30d or 52w; 0 is for ever")


def _stamp_ns(stamp: re.Match[str]) -> int:
    zone = stamp[3] or "Z"
    try:
        whole = datetime.fromisoformat(stamp[1].upper() + zone.upper())
        seconds = int((whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError):
        raise _unreadable() from None
    moment = seconds * 1_000_000_000 + int((stamp[2] or "0").ljust(9, "0"))
    if not _NS_MIN <= moment <= _NS_MAX:
        raise _unreadable()
    return moment


def _unreadable() -> BadInput:
    return BadInput(
        "a time of the window cannot be read",
        hint="use RFC 3339 (2026-01-31T12:00:00Z), `now`, or a distance back such as 15m, 1h or 7d",
    )
