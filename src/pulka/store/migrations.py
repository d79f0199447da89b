"""Steps from one schema version of the catalog to the next.

Each is frozen SQL that both databases take, not today's table definitions: a step must do tomorrow what it does today.
"""

from sqlalchemy import Connection, text

__all__ = ["migrate"]

_STEPS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE fragments ADD COLUMN deleted_upto BIGINT DEFAULT '0' NOT NULL",
        "ALTER TABLE fragments ADD COLUMN swept TEXT DEFAULT '' NOT NULL",
        "CREATE TABLE retention (id TEXT NOT NULL, tenant TEXT NOT NULL, table_name TEXT NOT NULL, keep_s BIGINT NOT NULL, "
        "condition TEXT, created_ns BIGINT NOT NULL, created_by TEXT NOT NULL, PRIMARY KEY (id))",
        "CREATE TABLE deletes (id TEXT NOT NULL, tenant TEXT NOT NULL, table_name TEXT NOT NULL, number BIGINT NOT NULL, "
        "condition TEXT, condition_hash TEXT NOT NULL, start_ns BIGINT, end_ns BIGINT, positions TEXT NOT NULL, "
        "created_ns BIGINT NOT NULL, created_by TEXT NOT NULL, rows_matched BIGINT, rows_removed BIGINT NOT NULL, done_ns BIGINT, "
        "PRIMARY KEY (id), UNIQUE (tenant, table_name, number))",
        "CREATE TABLE holds (id TEXT NOT NULL, tenant TEXT NOT NULL, table_name TEXT NOT NULL, start_ns BIGINT, end_ns BIGINT, "
        "reason TEXT NOT NULL, created_ns BIGINT NOT NULL, created_by TEXT NOT NULL, PRIMARY KEY (id))",
    ),
    2: (
        "CREATE TABLE documents (kind TEXT NOT NULL, tenant TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL, "
        "body TEXT NOT NULL, PRIMARY KEY (kind, tenant, name))",
    ),
}


def migrate(connection: Connection, found: int, wanted: int) -> None:
    """Bring the schema from version `found` to `wanted`, within the caller's transaction: all of it or nothing."""
    for version in range(found, wanted):
        for statement in _STEPS[version]:
            connection.execute(text(statement))
    if found < wanted:
        connection.execute(text("UPDATE pulka_schema SET version = :version"), {"version": wanted})
