"""Tables: their names, well-known columns, sort order and Bloom-filtered columns."""

import re
from dataclasses import dataclass

from pulka.errors import BadInput
from pulka.model.fields import FieldType

__all__ = ["DEFAULT_TENANT", "Table", "check_table", "check_tenant", "table"]

DEFAULT_TENANT = "default"
_TABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")

_COMMON: dict[str, FieldType] = {
    "timestamp": "timestamp", "event_id": "str", "service": "str", "host": "str", "env": "str", "version": "str",
}  # fmt: skip
_TRACE: dict[str, FieldType] = {"trace_id": "str", "span_id": "str"}


@dataclass(frozen=True, slots=True)
class Table:
    """What the store must know of a table before it sees an event.

    `sort` lists physical sort columns, a leading `-` for descending; nulls come last always.
    """

    name: str
    columns: dict[str, FieldType]
    sort: tuple[str, ...] = ("service", "env", "-timestamp")
    bloom: tuple[str, ...] = ("trace_id", "span_id", "event_id")


_KNOWN = {
    known.name: known
    for known in (
        Table(
            "logs",
            {**_COMMON, **_TRACE, "severity": "str", "severity_number": "i64", "message": "str"},
            sort=("service", "env", "severity", "-timestamp"),
        ),
        Table(
            "spans",
            {
                **_COMMON, **_TRACE, "parent_span_id": "str", "name": "str", "kind": "str", "status": "str",
                "status_message": "str", "duration_ns": "i64", "events": "json", "links": "json",
            },
            sort=("service", "env", "name", "-timestamp"),
        ),
        Table(
            "metrics",
            {
                **_COMMON, "name": "str", "type": "str", "unit": "str", "description": "str", "value": "f64",
                "count": "i64", "sum": "f64", "min": "f64", "max": "f64",
            },
            sort=("name", "service", "env", "-timestamp"),
        ),
        Table("changes", {**_COMMON, "kind": "str", "name": "str", "message": "str"}),
    )
}  # fmt: skip


def table(name: str) -> Table:
    """The definition of a table: a well-known one, or the common columns for any other valid name."""
    return _KNOWN.get(name) or Table(check_table(name), dict(_COMMON))


def check_table(name: str) -> str:
    """Return `name`, or raise BadInput when it cannot name a table."""
    if not _TABLE.fullmatch(name):
        raise BadInput(
            f"`{name[:80]}` cannot name a table",
            hint="use 1 to 63 of a-z, 0-9 and _, beginning with a letter",
        )
    return name


def check_tenant(name: str) -> str:
    """Return `name`, or raise BadInput when it cannot name a tenant."""
    if not _TENANT.fullmatch(name):
        raise BadInput(f"`{name[:80]}` cannot name a tenant", hint="use 1 to 63 of a-z, 0-9, _, . and -")
    return name
