"""Fields and types. `docs/design/event-batch.md` describes the Arrow layout they live in.

A field is addressed by its dotted path. It may be seen with several types; each type is kept exactly in a physical
column of its own, and SQL sees the widest common type.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa

__all__ = ["FIELD_TYPES", "RESIDUAL", "TIMESTAMP", "Column", "FieldType", "arrow_type", "column_of", "columns_of", "widest"]

FieldType = Literal["timestamp", "bool", "i64", "f64", "str", "json"]
FIELD_TYPES: tuple[FieldType, ...] = get_args(FieldType)
TIMESTAMP = "timestamp"
RESIDUAL = "_residual"
"""Column of canonical JSON objects that hold the sparse fields of a batch, by path."""

_ARROW: dict[FieldType, pa.DataType] = {
    "timestamp": pa.timestamp("ns", tz="UTC"),
    "bool": pa.bool_(),
    "i64": pa.int64(),
    "f64": pa.float64(),
    "str": pa.string(),
    "json": pa.string(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One physical column: its name in the file, the field it belongs to and the one type it holds."""

    name: str
    path: str
    type: FieldType


def arrow_type(kind: FieldType) -> pa.DataType:
    """The Arrow type of a physical column of this field type (`json` is text)."""
    return _ARROW[kind]


def column_of(field: pa.Field) -> Column:
    """Read a physical column from an Arrow field: metadata first, then name and Arrow type."""
    metadata = field.metadata or {}
    path = metadata.get(b"pulka.path", field.name.encode()).decode()
    kind = metadata.get(b"pulka.type", _type_name(field.type).encode()).decode()
    return Column(field.name, path, kind)


def columns_of(schema: pa.Schema) -> list[Column]:
    """All physical columns of a batch or fragment, without the residual."""
    return [column_of(field) for field in schema if field.name != RESIDUAL]


def widest(types: Iterable[FieldType]) -> FieldType:
    """The type SQL sees for a field seen with `types`: the narrowest one that can show them all, else text."""
    seen = set(types)
    if len(seen) == 1:
        return seen.pop()
    if seen <= {"i64", "f64"}:
        return "f64"
    return "str"


def _type_name(kind: pa.DataType) -> FieldType:
    for name, arrow in _ARROW.items():
        if arrow == kind:
            return name if name != "json" else "str"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return "str"
