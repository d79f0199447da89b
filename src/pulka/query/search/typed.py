"""The SQL literal that a field's type makes of a value."""

import re
from math import isinf

from pulka.errors import BadInput
from pulka.model.moments import MOMENT_HINT, moment_ns, rfc3339
from pulka.query.schema import LogicalField
from pulka.query.search.errors import wrong
from pulka.query.search.literals import NUMBER, quoted
from pulka.query.search.nodes import Literal

__all__ = ["is_number", "number_sql", "value_sql"]

_DIGITS_MAX = 400
_UNIT_NS = {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}
_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)", re.A)
_NUMBER_HINT = "as in field:500, field:>=500, field:[500 TO 599], field:(500 OR 503) or field:5*"


def value_sql(value: Literal, field: LogicalField, now_ns: int | None) -> str:
    """`value` as a literal of the field's type; BadQuery when it is none. Times relative to now need `now_ns`."""
    match field.type:
        case "i64" | "f64":
            return number_sql(_in_unit(value, field), field.path)
        case "bool":
            return _boolean(value, field.path)
        case "timestamp":
            return _timestamp(value, field.path, now_ns)
    return quoted(value.text)


def is_number(value: Literal) -> bool:
    """Whether a value given for a text field asks to be read as a number."""
    return not value.verbatim and NUMBER.fullmatch(value.text) is not None


def number_sql(value: Literal, path: str) -> str:
    """The number, exact where it fits 64 bits."""
    if not NUMBER.fullmatch(value.text) or len(value.text) > _DIGITS_MAX:
        raise wrong(f"`{path}` takes numbers", value.span, _NUMBER_HINT)
    if re.fullmatch(r"[+-]?\d+", value.text) and -(2**63) <= int(value.text) < 2**63:
        return str(int(value.text))
    number = float(value.text)
    if isinf(number):
        raise wrong("this number is too large", value.span, "numbers reach to 1.8e308")
    return repr(number)


def _in_unit(value: Literal, field: LogicalField) -> Literal:
    """`500ms` as a number of the unit that the field's name ends in."""
    unit = _UNIT_NS.get(field.path.rpartition("_")[2])
    duration = _DURATION.fullmatch(value.text)
    if unit is None or duration is None or len(value.text) > _DIGITS_MAX:
        return value
    number = float(duration[1]) * _UNIT_NS[duration[2]] / unit
    return Literal(str(int(number)) if number.is_integer() else repr(number), span=value.span)


def _boolean(value: Literal, path: str) -> str:
    if value.text.lower() not in ("true", "false"):
        raise wrong(f"`{path}` is true or false", value.span, "as in field:true")
    return value.text.upper()


def _timestamp(value: Literal, path: str, now_ns: int | None) -> str:
    relative = value.text[:1] not in "0123456789" or value.text[-1:] in "smhdw"
    if relative and now_ns is None:
        raise wrong(f"`{path}` takes a fixed time here", value.span, "use RFC 3339 (2026-01-31T12:00:00Z)")
    try:
        return f"TIMESTAMP '{rfc3339(moment_ns(value.text, now_ns or 0))}'"
    except BadInput:
        raise wrong(f"`{path}` takes times", value.span, MOMENT_HINT) from None
