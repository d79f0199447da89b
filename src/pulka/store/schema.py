"""Tables of the catalog database, one definition for SQLite and PostgreSQL."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

__all__ = ["SCHEMA_VERSION", "dedup", "fields", "fragments", "metadata", "positions", "version"]

SCHEMA_VERSION = 1

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
