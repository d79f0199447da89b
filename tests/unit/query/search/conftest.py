import pytest

from pulka.query.schema import LogicalTable, logical_tables
from pulka.seams import TableInfo

FIELDS = {
    "http.status_code": {"i64"}, "path": {"str"}, "client.ip": {"str"}, "code": {"i64", "str"}, "ratio": {"f64"}, "ok": {"bool"},
    "took_ms": {"f64"}, "tags": {"json"}, "seen": {"timestamp"}, "Mixed": {"str"}, 'odd"name': {"str"}, "has": {"str"},
}  # fmt: skip


def table_of(name="logs", fields=FIELDS) -> LogicalTable:
    info = TableInfo(name, {path: frozenset(types) for path, types in fields.items()})
    return logical_tables({name: info}, {})[name]


@pytest.fixture
def logs() -> LogicalTable:
    return table_of()
