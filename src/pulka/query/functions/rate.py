"""`rate(count(*), '1m')`: how many per second, of a count over so long a time."""

from pulka.errors import BadQuery
from pulka.query.functions.literals import width_ns

__all__ = ["rate"]

_USAGE = "rate(count(*), '1m')"


def rate(given: list[str]) -> str:
    """The count by the seconds."""
    if len(given) != 2:
        raise BadQuery("rate takes a count and the time it was counted over", hint=f"as in {_USAGE}")
    return f"(CAST({given[0]} AS DOUBLE) / {width_ns(given[1], _USAGE) / 1e9!r})"
