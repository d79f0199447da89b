"""Which field of a table a name means. A field of that very name comes first, then one that differs by case, then an alias."""

from pulka.model.tables import table as definition
from pulka.query.messages import near
from pulka.query.names import quote, unique_match
from pulka.query.schema import LogicalField, LogicalTable
from pulka.query.search.errors import wrong
from pulka.query.search.nodes import Field

__all__ = ["LEVELS", "aliases", "column", "is_level", "level_names", "resolve", "text_field", "without_case"]

_EVERYWHERE = {
    "service.name": "service", "host.name": "host", "hostname": "host", "deployment.environment": "env",
    "deployment.environment.name": "env", "environment": "env", "service.version": "version", "time": "timestamp", "@timestamp": "timestamp",
}  # fmt: skip
_ALIASES = {
    "logs": {"status": "severity", "level": "severity", "log.level": "severity", "msg": "message", "body": "message"},
    "spans": {"duration": "duration_ns", "operation": "name", "resource": "name", "parent_id": "parent_span_id"},
    "metrics": {"metric": "name"},
}
_TEXT = {"spans": "name", "metrics": "name"}
LEVELS = (
    ("trace",), ("debug",), ("info", "information", "informational", "notice"), ("warn", "warning"), ("error", "err"),
    ("fatal", "critical", "crit", "alert", "emergency", "emerg", "panic"),
)  # fmt: skip
"""Names of severities; those of one row mean the same, and rows are in ascending order."""
_LEVEL_FIELDS = ("severity", "level", "log.level")
_QUOTING = 'to search for a text with a colon, put it in quotes: "12:30"'
_WITHOUT_CASE = {"spans": ("status", "kind")}


def aliases(table: LogicalTable) -> dict[str, str]:
    """Names that stand for a field of the table, unless a field has that name itself."""
    known = _EVERYWHERE | _ALIASES.get(table.name, {})
    return {alias: path for alias, path in known.items() if alias not in table.fields and path in table.fields}


def resolve(field: Field, table: LogicalTable) -> LogicalField:
    """The field that is meant; BadQuery names the nearest when there is none."""
    also = aliases(table)
    path = unique_match(field.name, table.fields) or also.get(field.name.lower())
    if path is None:
        candidates = [*table.fields, *also]
        hint = f"{near(field.name, candidates, 'fields')}; {_QUOTING}"
        raise wrong(f"there is no field `{field.name[:80]}`", field.span, hint)
    return table.fields[path]


def text_field(table: LogicalTable) -> LogicalField | None:
    """The field that words are searched in: `message`, of spans and metrics the `name`."""
    path = _TEXT.get(table.name, "message" if "message" in table.fields else "name")
    return table.fields.get(path)


def column(field: LogicalField, table: LogicalTable) -> str:
    """The field in SQL: well-known columns are bare, as none of them is a word of SQL; others are quoted."""
    return field.path if field.path in definition(table.name).columns else quote(field.path)


def is_level(field: LogicalField) -> bool:
    """Whether the field holds names of severities, which have synonyms and an order."""
    return field.path in _LEVEL_FIELDS and field.type == "str"


def without_case(field: LogicalField, table: LogicalTable) -> bool:
    """Whether `field:value` holds in any case."""
    return is_level(field) or field.path in _WITHOUT_CASE.get(table.name, ())


def level_names(level: str) -> tuple[str, ...]:
    """The level in lower case and what means the same."""
    lower = level.lower()
    return next((names for names in LEVELS if lower in names), (lower,))
