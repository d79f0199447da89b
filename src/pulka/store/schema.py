"""Tables of the catalog database, one definition for SQLite and PostgreSQL."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint, text

__all__ = ["SCHEMA_VERSION", "dedup", "deletes", "documents", "fields", "fragments", "holds", "metadata", "positions", "retention", "version"]

SCHEMA_VERSION = 3
"""A change of this file is a new version and a step in `migrations.py`."""

metadata = MetaData()

version = Table("pulka_schema", metadata, Column("version", Integer, primary_key=True))

fragments = Table(
    "fragments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("object_key", Text, nullable=False, unique=True),
    Column("window_start_ns", BigInteger, nullable=False),
    Column("window_ns", BigInteger, nullable=False),
    Column("min_ns", BigInteger, nullable=False),
    Column("max_ns", BigInteger, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("raw_bytes", BigInteger, nullable=False),
    Column("level", Integer, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    # Column statistics and residual fields, see column_stats.py. Opaque to SQL: pruning by them happens in memory,
    # and rows per column would multiply the catalog by hundreds.
    Column("stats", LargeBinary, nullable=False),
    # Null while the fragment is live; its object is deleted some time after it was retired.
    Column("retired_ns", BigInteger),
    Column("deleted_upto", BigInteger, nullable=False, server_default="0"),
    Column("swept", Text, nullable=False, server_default=""),
)
_live = fragments.c.retired_ns.is_(None)
Index(
    "fragments_live", fragments.c.tenant, fragments.c.table_name, fragments.c.max_ns,
    sqlite_where=_live, postgresql_where=_live,
)  # fmt: skip
_gone = text("retired_ns IS NOT NULL")
Index("fragments_retired", fragments.c.retired_ns, sqlite_where=_gone, postgresql_where=_gone)

fields = Table(
    "fields",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("table_name", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("type", Text, primary_key=True),
)

positions = Table(
    "positions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("tenant", Text, primary_key=True),
    Column("table_name", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

dedup = Table(
    "dedup",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("table_name", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("expires_ns", BigInteger, nullable=False, index=True),
    Column("ack", LargeBinary, nullable=False),
)

retention = Table(
    "retention",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("keep_s", BigInteger, nullable=False),
    # A condition is JSON; null: all rows that no policy with a condition takes.
    Column("condition", Text),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
)

deletes = Table(
    "deletes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    # Null once the delete is done: what it named is gone from here too.
    Column("condition", Text),
    Column("condition_hash", Text, nullable=False),
    Column("start_ns", BigInteger),
    Column("end_ns", BigInteger),
    Column("positions", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("rows_matched", BigInteger),
    Column("rows_removed", BigInteger, nullable=False),
    Column("done_ns", BigInteger),
    UniqueConstraint("tenant", "table_name", "number"),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("start_ns", BigInteger),
    Column("end_ns", BigInteger),
    Column("reason", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
