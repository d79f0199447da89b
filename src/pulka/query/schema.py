"""The logical tables SQL sees: every field of a table under its path, with the widest type it was seen with."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from pulka.model.fields import FieldType, arrow_type, widest
from pulka.model.tables import table
from pulka.seams import TableInfo

__all__ = ["WELL_KNOWN", "LogicalField", "LogicalTable", "logical_tables"]

WELL_KNOWN = ("logs", "spans", "metrics", "changes")
"""Tables that exist before their first event."""


@dataclass(frozen=True, slots=True)
class LogicalField:
    """A field as SQL sees it: its path, the type shown, and the types it may be stored with."""

    path: str
    type: FieldType
    seen: frozenset[FieldType]


@dataclass(frozen=True, slots=True)
class LogicalTable:
    """A table as SQL sees it: well-known columns first, in their order, then the others by name."""

    name: str
    fields: Mapping[str, LogicalField]

    def empty(self) -> pa.RecordBatch:
        """The table without rows."""
        schema = pa.schema([(field.path, arrow_type(field.type)) for field in self.fields.values()])
        return pa.RecordBatch.from_pylist([], schema=schema)


def logical_tables(
    published: Mapping[str, TableInfo], fresh: Mapping[str, Mapping[str, frozenset[FieldType]]]
) -> dict[str, LogicalTable]:
    """All tables of a tenant: published, fresh and well-known ones."""
    names = [*WELL_KNOWN, *sorted({*published, *fresh} - set(WELL_KNOWN))]
    return {
        name: _logical(name, published[name].fields if name in published else {}, fresh.get(name, {})) for name in names
    }


def _logical(name: str, *sources: Mapping[str, frozenset[FieldType]]) -> LogicalTable:
    types: dict[str, frozenset[FieldType]] = {path: frozenset({kind}) for path, kind in table(name).columns.items()}
    for path in sorted(set().union(*sources)):
        seen = frozenset().union(*(source.get(path, frozenset()) for source in sources))
        types[path] = types.get(path, frozenset()) | seen
    return LogicalTable(name, {path: LogicalField(path, widest(seen), seen) for path, seen in types.items()})
