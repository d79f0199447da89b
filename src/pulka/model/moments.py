"""Moments as people write them: RFC 3339, a date, `now`, or a distance back from now such as `15m`."""

import re
from datetime import UTC, datetime, timedelta

from pulka.errors import BadInput

__all__ = ["MOMENT_HINT", "duration_s", "moment_ns", "rfc3339"]

MOMENT_HINT = "use RFC 3339 (2026-01-31T12:00:00Z), a date (2026-01-31), `now`, or a distance back such as 15m, 1h or 7d"
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(?:now)?-?(\d{1,9})([smhdw])", re.A)
_LENGTH = re.compile(r"(\d{1,9})([smhdw])", re.A)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?)?", re.A)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_NS_MIN, _NS_MAX = -(2**63), 2**63 - 1


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


def rfc3339(moment: int) -> str:
    """Nanoseconds since 1970 UTC as RFC 3339, with nine digits of a second where it is not a whole one."""
    seconds, nanoseconds = divmod(moment, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}{f'.{nanoseconds:09}' if nanoseconds else ''}Z"


def _stamp_ns(stamp: re.Match[str]) -> int:
    date, time, fraction, zone = stamp.groups()
    try:
        whole = datetime.fromisoformat(f"{date}T{time or '00:00:00'}{(zone or 'Z').upper()}")
        seconds = (whole - _EPOCH) // _SECOND
    except (ValueError, OverflowError):
        raise _unreadable() from None
    moment = seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
    if not _NS_MIN <= moment <= _NS_MAX:
        raise _unreadable()
    return moment


def _unreadable() -> BadInput:
    return BadInput("a time cannot be read", hint=MOMENT_HINT)
