"""The catalog on SQLite or PostgreSQL: which fragments exist, and how far the journal is contained in them.

Considered: the catalog as files in the bucket, committed by put-if-absent. A database gives many small tenants one cheap
transaction, and SQLite costs nobody a server. Many regions without a PostgreSQL between them would change our mind.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Self, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    not_,
    select,
    union,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from pulka.errors import Conflict
from pulka.model.fields import FieldType
from pulka.model.rules import Rules
from pulka.model.windows import TimeRange
from pulka.seams import Amendment, Clock, DedupKey, Document, Edit, Fragment, Publication, Snapshot, TableInfo, Usage
from pulka.store import catalog_documents as kept
from pulka.store import catalog_rules as rules
from pulka.store import schema
from pulka.store.column_stats import Stats, StatsCache, encode_stats
from pulka.store.database import Database

__all__ = ["SqlCatalog"]

_IN_MAX = 500
"""Values of one IN list; both databases bound the parameters of a statement."""

_fragments = schema.fragments.c
_WITHOUT_STATS = [column for column in schema.fragments.c if column.name not in ("stats", "retired_ns")]
_live = _fragments.retired_ns.is_(None)

# Statements of every query are built once: SQLAlchemy takes longer to build one than SQLite to answer it.
_positions, _known = schema.positions.c, schema.fields.c
_of_table = and_(_live, _fragments.tenant == bindparam("tenant"), _fragments.table_name == bindparam("table"))
_COUNT = select(func.count()).where(_of_table)
_REACHED = select(_positions.partition, _positions.sequence).where(
    _positions.tenant == bindparam("tenant"), _positions.table_name == bindparam("table")
)
_STATS = select(_fragments.id, _fragments.stats).where(_fragments.id.in_(bindparam("ids", expanding=True)))
_FIELDS = select(_known.path, _known.type).where(_known.tenant == bindparam("tenant"), _known.table_name == bindparam("table"))

_Out = TypeVar("_Out")


class SqlCatalog:
    """`pulka.seams.Catalog` and `Documents` over a database; calls run on the catalog's own few threads."""

    def __init__(
        self, url: str, clock: Clock, *, connections: int = 4, cache_bytes: int = 64 << 20, busy_timeout_s: float = 10
    ) -> None:
        self._database = Database(url, connections, busy_timeout_s)
        self._clock = clock
        self._stats = StatsCache(cache_bytes)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="catalog")

    @classmethod
    async def open(cls, url: str, clock: Clock, **options: Any) -> Self:
        """Connect, and create the tables of a new database. Misconfigured when it cannot be this Pulka's."""
        catalog = cls(url, clock, **options)
        try:
            await catalog._run(catalog._database.create)
        except BaseException:
            await catalog.close()
            raise
        return catalog

    async def publish(self, change: Publication) -> None:
        """Apply `change` in one transaction; Conflict (and nothing changed) when what it builds on is gone."""
        await self._run(lambda: self._publish(change))

    async def snapshot(self, tenant: str, table: str, window: TimeRange) -> Snapshot:
        """The table's fragments that may hold events of `window`, with the positions of the same moment."""
        return await self._run(lambda: self._snapshot(tenant, table, window))

    async def tables(self, tenant: str) -> Mapping[str, TableInfo]:
        """Every table of the tenant that ever held an event."""
        return await self._run(lambda: self._tables(tenant))

    async def tenants(self) -> Sequence[str]:
        """Tenants that ever published, sorted."""
        known = union(select(schema.fields.c.tenant), select(schema.positions.c.tenant))
        return [row[0] for row in sorted(await self._rows(known))]

    async def positions(self, partition: int) -> Mapping[tuple[str, str], int]:
        """By (tenant, table): the last sequence of the partition that is in published fragments."""
        at = schema.positions.c
        rows = await self._rows(select(at.tenant, at.table_name, at.sequence).where(at.partition == partition))
        return {(row.tenant, row.table_name): row.sequence for row in rows}

    async def dedup(self, since_ns: int) -> Sequence[DedupKey]:
        """Keys that expire after `since_ns`."""
        kept = schema.dedup.c
        rows = await self._rows(select(schema.dedup).where(kept.expires_ns > since_ns).order_by(kept.expires_ns))
        return [DedupKey(row.tenant, row.table_name, row.key, row.expires_ns, bytes(row.ack)) for row in rows]

    async def fragments(self, tenant: str | None = None, table: str | None = None) -> Sequence[Fragment]:
        """Live fragments, of one tenant or table when named, oldest first."""
        chosen: list[ColumnElement[bool]] = [_live]
        if tenant is not None:
            chosen.append(_fragments.tenant == tenant)
        if table is not None:
            chosen.append(_fragments.table_name == table)
        return await self._run(lambda: self._read_fragments(and_(*chosen)))

    async def retired(self, before_ns: int) -> Sequence[str]:
        """Keys of objects whose fragments were retired before `before_ns`."""
        return [
            row[0] for row in await self._rows(select(_fragments.object_key).where(_fragments.retired_ns < before_ns))
        ]

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop the rows of retired fragments whose objects are deleted."""
        await self._run(lambda: self._forget(keys))

    async def usage(self, tenant: str | None = None) -> Sequence[Usage]:
        """What every table, of one tenant when named, takes in the object store."""
        chosen = select(schema.fragments).where(_fragments.tenant == tenant) if tenant is not None else select(schema.fragments)
        return [_usage(row) for row in await self._rows(_used(chosen))]

    async def rules(self, tenant: str | None = None, *, done: bool = True) -> Rules:
        """Policies, deletes with their progress (without `done`, pending ones only), and holds."""

        def read() -> Rules:
            with self._database.read() as connection:
                return rules.read_rules(connection, tenant, done)

        return await self._run(read)

    async def amend(self, change: Amendment) -> None:
        """Change the rules in one transaction."""

        def write() -> None:
            with self._database.write() as connection:
                rules.amend(connection, change, self._clock.now_ns())

        await self._run(write)

    async def documents(self, kind: str, tenant: str | None = None, name: str | None = None) -> Sequence[Document]:
        """`pulka.seams.Documents`."""

        def read() -> Sequence[Document]:
            with self._database.read() as connection:
                return kept.read(connection, kind, tenant, name)

        return await self._run(read)

    async def edit(self, edits: Sequence[Edit]) -> None:
        """`pulka.seams.Documents`."""

        def write() -> None:
            with self._database.write() as connection:
                kept.edit(connection, edits)

        await self._run(write)

    async def close(self) -> None:
        """Finish running calls and disconnect."""
        await asyncio.to_thread(self._threads.shutdown)
        self._database.close()

    async def _run(self, work: Callable[[], _Out]) -> _Out:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _rows(self, query: Any) -> Sequence[Row[Any]]:
        def read() -> Sequence[Row[Any]]:
            with self._database.read() as connection:
                return connection.execute(query).all()

        return await self._run(read)

    def _publish(self, change: Publication) -> None:
        with self._database.write() as connection:
            _move_positions(connection, change.positions)
            rules.check_removal(connection, change)
            _retire(connection, change.retire, self._clock.now_ns())
            _add(connection, rules.marked(connection, change))
            rules.set_marks(connection, change)
            _add_fields(connection, change.add)
            _keep_dedup(connection, change.dedup, self._clock.now_ns())

    def _snapshot(self, tenant: str, table: str, window: TimeRange) -> Snapshot:
        of_table = {"tenant": tenant, "table": table}
        ends = {"start_ns": window.start_ns, "end_ns": window.end_ns}
        with self._database.read() as connection:
            found = self._fragments_of(connection, _within(*(end is not None for end in ends.values())), {**of_table, **ends})
            total = connection.execute(_COUNT, of_table).scalar_one()
            positions = {row.partition: row.sequence for row in connection.execute(_REACHED, of_table)}
            deletes = rules.pending_deletes(connection, tenant, table)
            retention = rules.read_retention(connection, tenant)
        return Snapshot(tuple(found), positions, total - len(found), deletes, retention)

    def _read_fragments(self, condition: Any) -> list[Fragment]:
        with self._database.read() as connection:
            return self._fragments_of(connection, _select_fragments(condition))

    def _fragments_of(self, connection: Connection, query: Select[Any], values: Mapping[str, Any] | None = None) -> list[Fragment]:
        """Rows first, then only those statistics that are not decoded yet: they are most of the bytes."""
        rows = connection.execute(query, values).all()
        kept = ((row.id, self._stats.get(row.id)) for row in rows)
        stats = {key: known for key, known in kept if known is not None}
        for some in _chunks([row.id for row in rows if row.id not in stats]):
            for row in connection.execute(_STATS, {"ids": some}):
                stats[row.id] = self._stats.decode(row.id, row.stats)
        return [_fragment(row, stats[row.id]) for row in rows]

    def _tables(self, tenant: str) -> dict[str, TableInfo]:
        with self._database.read() as connection:
            stored = {row.table_name: row for row in connection.execute(_stored(tenant))}
            known: dict[str, dict[str, set[FieldType]]] = {}
            for row in connection.execute(select(schema.fields).where(schema.fields.c.tenant == tenant)):
                known.setdefault(row.table_name, {}).setdefault(row.path, set()).add(row.type)
        return {name: _table_info(name, fields, stored.get(name)) for name, fields in sorted(known.items())}

    def _forget(self, keys: Sequence[str]) -> None:
        with self._database.write() as connection:
            for some in _chunks(keys):
                gone = and_(_fragments.object_key.in_(some), _fragments.retired_ns.is_not(None))
                connection.execute(delete(schema.fragments).where(gone))


def _select_fragments(condition: Any) -> Select[Any]:
    return select(*_WITHOUT_STATS).where(condition).order_by(_fragments.window_start_ns, _fragments.created_ns, _fragments.id)


@cache
def _within(has_start: bool, has_end: bool) -> Select[Any]:
    """The fragments of a table whose events may lie at or after `start_ns` and before `end_ns`."""
    ends = rules.overlap(bindparam("start_ns") if has_start else None, bindparam("end_ns") if has_end else None)
    return _select_fragments(and_(_of_table, *ends))


def _move_positions(connection: Connection, moves: Mapping[tuple[int, str, str], tuple[int, int]]) -> None:
    # Sorted, so that two writers lock rows in one order and neither waits for the other for ever.
    for (partition, tenant, table), (expected, new) in sorted(moves.items()):
        key = {"partition": partition, "tenant": tenant, "table_name": table}
        first = _insert_or_ignore(connection, schema.positions).execution_options(preserve_rowcount=True)
        if expected == 0 and connection.execute(first, {**key, "sequence": new}).rowcount == 1:
            continue
        at = schema.positions.c
        here = and_(at.partition == partition, at.tenant == tenant, at.table_name == table, at.sequence == expected)
        if connection.execute(update(schema.positions).where(here).values(sequence=new)).rowcount != 1:
            raise Conflict(
                f"partition {partition} is not at {expected} any more", hint="read the positions again and replay"
            )


def _retire(connection: Connection, ids: Sequence[str], now_ns: int) -> None:
    for some in _chunks(sorted(set(ids))):
        live = and_(_fragments.id.in_(some), _live)
        if connection.execute(update(schema.fragments).where(live).values(retired_ns=now_ns)).rowcount != len(some):
            raise Conflict("a fragment to retire is retired already", hint="plan again from the catalog")


def _add(connection: Connection, fragments: Sequence[Fragment]) -> None:
    if fragments:
        connection.execute(schema.fragments.insert(), [_row(fragment) for fragment in fragments])


def _add_fields(connection: Connection, fragments: Sequence[Fragment]) -> None:
    """Most publications bring no new field; reading the known ones is cheaper than writing them again."""
    seen: dict[tuple[str, str], set[tuple[str, FieldType]]] = {}
    for fragment in fragments:
        seen.setdefault((fragment.tenant, fragment.table), set()).update(_fields_of(fragment))
    for (tenant, table), pairs in sorted(seen.items()):
        known = connection.execute(_FIELDS, {"tenant": tenant, "table": table})
        new = sorted(pairs - {(row.path, row.type) for row in known})
        _insert_ignore(
            connection, schema.fields,
            [{"tenant": tenant, "table_name": table, "path": path, "type": kind} for path, kind in new],
        )  # fmt: skip


def _fields_of(fragment: Fragment) -> Iterator[tuple[str, FieldType]]:
    for stats in fragment.columns:
        yield stats.column.path, stats.column.type
    for path, types in fragment.residual.items():
        for kind in types:
            yield path, kind


def _keep_dedup(connection: Connection, keys: Sequence[DedupKey], now_ns: int) -> None:
    """Expired keys go first, so that a key may come again; among live ones the first acknowledgement stands."""
    connection.execute(delete(schema.dedup).where(schema.dedup.c.expires_ns <= now_ns))
    rows = [
        {"tenant": k.tenant, "table_name": k.table, "key": k.key, "expires_ns": k.expires_ns, "ack": k.ack}
        for k in sorted(keys, key=lambda k: (k.tenant, k.table, k.key))
    ]
    _insert_ignore(connection, schema.dedup, rows)


def _insert_ignore(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows that are not there yet."""
    if rows:
        connection.execute(_insert_or_ignore(connection, table), rows)


def _insert_or_ignore(connection: Connection, table: Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def _stored(tenant: str) -> Select[Any]:
    return (
        select(
            _fragments.table_name,
            func.count().label("fragments"),
            func.sum(_fragments.row_count).label("rows_sum"),
            func.sum(_fragments.bytes).label("bytes_sum"),
            func.sum(_fragments.raw_bytes).label("raw_bytes_sum"),
            func.min(_fragments.min_ns).label("first_ns"),
            func.max(_fragments.max_ns).label("last_ns"),
        )
        .where(_live, _fragments.tenant == tenant)
        .group_by(_fragments.table_name)
    )


def _used(chosen: Select[Any]) -> Select[Any]:
    """Sums per table; a retired fragment counts until its object is deleted."""
    row = chosen.subquery().c
    live = row.retired_ns.is_(None)

    def total(value: Any, condition: Any) -> Any:
        return func.coalesce(func.sum(case((condition, value), else_=0)), 0)

    sums = [total(value, live) for value in (1, row.row_count, row.bytes, row.raw_bytes)]
    gone = [total(value, not_(live)) for value in (1, row.bytes)]
    return select(row.tenant, row.table_name, *sums, *gone).group_by(row.tenant, row.table_name).order_by(row.tenant, row.table_name)


def _usage(row: Row[Any]) -> Usage:
    tenant, table, *sums = tuple(row)
    return Usage(tenant, table, *map(int, sums))


def _table_info(name: str, seen: dict[str, set[FieldType]], stored: Row[Any] | None) -> TableInfo:
    fields = {path: frozenset(types) for path, types in sorted(seen.items())}
    if stored is None:
        return TableInfo(name, fields)
    # PostgreSQL sums to Decimal.
    sums = (int(stored.rows_sum), int(stored.bytes_sum), int(stored.raw_bytes_sum))
    return TableInfo(name, fields, stored.fragments, *sums, stored.first_ns, stored.last_ns)


def _row(fragment: Fragment) -> dict[str, Any]:
    same = (
        "id",
        "tenant",
        "window_start_ns",
        "window_ns",
        "min_ns",
        "max_ns",
        "bytes",
        "raw_bytes",
        "level",
        "created_ns",
        "deleted_upto",
        "swept",
    )
    return {
        **{name: getattr(fragment, name) for name in same},
        "table_name": fragment.table,
        "object_key": fragment.key,
        "row_count": fragment.rows,
        "stats": encode_stats(fragment.columns, fragment.residual),
    }


def _fragment(row: Row[Any], stats: Stats) -> Fragment:
    columns, residual = stats
    return Fragment(
        row.id, row.tenant, row.table_name, row.object_key, row.window_start_ns, row.window_ns, row.min_ns, row.max_ns,
        row.row_count, row.bytes, row.raw_bytes, row.level, row.created_ns, columns, residual,
        deleted_upto=row.deleted_upto, swept=row.swept,
    )  # fmt: skip


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    everything = list(values)
    for start in range(0, len(everything), _IN_MAX):
        yield everything[start : start + _IN_MAX]
