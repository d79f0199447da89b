"""What one event batch holds. `docs/design/event-batch.md` describes its layout."""

import msgspec
import pyarrow as pa

from pulka.model.fields import RESIDUAL, FieldType, columns_of

__all__ = ["fields_of"]

_TYPES: dict[type, FieldType] = {bool: "bool", int: "i64", float: "f64", str: "str"}


def fields_of(batch: pa.RecordBatch) -> dict[str, frozenset[FieldType]]:
    """Every field of a batch with the types it has there, those of the residual included."""
    fields: dict[str, frozenset[FieldType]] = {}
    for column in columns_of(batch.schema):
        fields[column.path] = fields.get(column.path, frozenset()) | {column.type}
    if batch.schema.get_field_index(RESIDUAL) >= 0:
        for path, types in _residual_fields(batch.column(RESIDUAL)).items():
            fields[path] = fields.get(path, frozenset()) | types
    return fields


def _residual_fields(column: pa.StringArray) -> dict[str, set[FieldType]]:
    """Sparse fields of one batch. Reads every object; done once per batch and only when a query asks."""
    found: dict[str, set[FieldType]] = {}
    for text in column.drop_null().to_pylist():
        for path, value in msgspec.json.decode(text).items():
            found.setdefault(path, set()).add(_TYPES.get(type(value), "json"))
    return found
