"""The catalog's database connection: SQLite or PostgreSQL behind one SQLAlchemy engine, errors in Pulka's vocabulary."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from pulka.errors import Conflict, Corrupt, Misconfigured, PulkaError, Temporary
from pulka.store import schema
from pulka.store.migrations import migrate

__all__ = ["Database"]

_WRITES = {"pulka_begin": "BEGIN IMMEDIATE"}
_LOCK_ID = 0x70756C6B61  # "pulka": two processes that create the schema at once wait for each other


class Database:
    """Transactions over one database. Methods block; the catalog calls them from its own threads."""

    def __init__(self, url: str, connections: int, busy_timeout_s: float) -> None:
        self.engine = _engine(url, connections, busy_timeout_s)
        self._writes = self.engine.execution_options(**_WRITES)
        # Two statements of one read must see one state; SQLite's deferred transactions do by themselves.
        postgres = self.engine.dialect.name == "postgresql"
        self._reads = self.engine.execution_options(isolation_level="REPEATABLE READ") if postgres else self.engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with _translated(), self._reads.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end, or changes nothing when the block raises."""
        with _translated(), self._writes.begin() as connection:
            yield connection

    def create(self) -> None:
        """Make the tables of a new database, or bring an older one up to date; refuse one that a newer Pulka has changed."""
        with self.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            schema.version.create(connection, checkfirst=True)
            found = connection.execute(select(schema.version.c.version)).scalar()
            if found is None:
                schema.metadata.create_all(connection)
                connection.execute(insert(schema.version).values(version=schema.SCHEMA_VERSION))
            elif found > schema.SCHEMA_VERSION:
                raise Misconfigured(
                    f"the catalog has schema version {found}, this Pulka knows {schema.SCHEMA_VERSION}",
                    hint="run the newer Pulka that wrote it, or name another catalog",
                )
            else:
                migrate(connection, found, schema.SCHEMA_VERSION)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _engine(url: str, connections: int, busy_timeout_s: float) -> Engine:
    try:
        parsed = make_url(url)
    except SQLAlchemyError:
        raise _unknown_database() from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise _unknown_database()
    options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "hide_parameters": True}
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed, pool_pre_ping=True, **options)
    engine = create_engine(parsed, connect_args={"timeout": busy_timeout_s, "check_same_thread": False}, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _unknown_database() -> Misconfigured:
    return Misconfigured(
        "the catalog's URL names no database Pulka knows",
        hint="use sqlite:////path/catalog.db or postgresql://user@host/database",
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """`timeout` of the driver is the busy timeout. FULL: a commit that returned survives a power cut, also with WAL."""
    connection.isolation_level = None  # the driver must not open transactions of its own; _begin_sqlite does
    # secure_delete: the condition of a delete that is done is overwritten, not only unlinked.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns from reading to writing can fail at once, whatever the busy timeout.
    connection.exec_driver_sql(connection.get_execution_options().get("pulka_begin", "BEGIN"))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise _pulka_error(error) from error


def _pulka_error(error: SQLAlchemyError) -> PulkaError:
    cause = str(error.orig).lower() if isinstance(error, DBAPIError) else ""
    if isinstance(error, IntegrityError):
        return Conflict("the catalog has this entry already", hint="read the catalog again and retry")
    if "is full" in cause or "no space left" in cause or "disk full" in cause:
        return Temporary(
            "the catalog's disk is full", hint="free space on the disk that holds the catalog", retry_after_s=5
        )
    if "malformed" in cause or "not a database" in cause:
        return Corrupt("the catalog's file is damaged", hint="rebuild it from the fragments: `pulka store repair`")
    return Temporary(
        "the catalog cannot be reached or is busy", hint="check the catalog's database; the call may be repeated"
    )
