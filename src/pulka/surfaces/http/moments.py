"""The time window of a question, from moments as people write them."""

from pulka.errors import BadInput
from pulka.model.moments import moment_ns
from pulka.model.windows import TimeRange

__all__ = ["time_range"]


def time_range(start: str | None, end: str | None, now_ns: int) -> TimeRange:
    """The range from `start` to `end`; a missing side is open."""
    first = moment_ns(start, now_ns) if start else None
    last = moment_ns(end, now_ns) if end else None
    if first is not None and last is not None and first > last:
        raise BadInput("the window ends before it starts", hint="exchange start and end")
    return TimeRange(first, last)
