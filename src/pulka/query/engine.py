"""The Engine on DataFusion: bind and plan once on empty tables, prune, then run the same SQL over what is left."""

import asyncio
import re
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from datafusion import DataFrame, SessionContext

from pulka.errors import Corrupt, PulkaError, Temporary
from pulka.model.fields import TIMESTAMP
from pulka.model.rules import Removal
from pulka.model.tables import table as definition
from pulka.model.windows import TimeRange
from pulka.query import messages, shapes
from pulka.query.limits import Bounds, Deadline, Running, bounded, bounds
from pulka.query.names import check_select, mentioned, quote_paths, quote_word, unique_match
from pulka.query.plan import Use, uses
from pulka.query.prune import prune
from pulka.query.removal import Hidden, fields_of, without
from pulka.query.schema import LogicalTable, logical_tables
from pulka.query.search_scan import Found, search
from pulka.query.session import open_session, read_only
from pulka.query.text import plain_schema
from pulka.seams import Catalog, Clock, Fragment, FragmentFiles, Fresh, Limits, Position, QueryStats, Result

__all__ = ["DataFusionEngine"]

_STAR = re.compile(r"(?:\b(?:select|distinct|all)|[,.])\s*\*", re.I)
_NAMES_TRIED_MAX = 64
_PLANS_MAX = 5
T = TypeVar("T")


@dataclass(slots=True)
class _Source:
    """What a query reads of one table, after pruning."""

    use: Use
    window: TimeRange
    fragments: list[Fragment]
    fresh: list[tuple[Position, pa.RecordBatch]]
    pruned: dict[str, int]
    hidden: Hidden = field(default_factory=Hidden)
    found: Found | None = None

    @property
    def total(self) -> int:
        return len(self.fragments) + sum(self.pruned.values())

    @property
    def scanned(self) -> list[Fragment]:
        """The fragments DataFusion reads itself."""
        return [one for one in self.fragments if self.found is None or one.id not in self.found.rows]

    @property
    def searched(self) -> list[tuple[Fragment, pa.RecordBatch]]:
        """What a search found, in batches of physical columns."""
        found = {} if self.found is None else self.found.rows
        return [(one, batch) for one in self.fragments for batch in found.get(one.id, ())]

    @property
    def is_empty(self) -> bool:
        return not (self.fresh or self.scanned or self.searched)

    @property
    def fresh_rows(self) -> int:
        return sum(batch.num_rows for _, batch in self.fresh)

    @property
    def bytes(self) -> int:
        found = 0 if self.found is None else self.found.bytes_read
        return found + sum(fragment.bytes for fragment in self.scanned)


@dataclass(slots=True)
class _Prepared:
    """A query bound to its tables."""

    sql: str
    tables: Mapping[str, LogicalTable]
    schema: pa.Schema
    uses: Mapping[str, Use]


@dataclass(slots=True)
class _Query:
    """One query on its way: what it may use, where it keeps its links and spills, and what it has counted."""

    engine: "DataFusionEngine"
    tenant: str
    window: TimeRange
    bounds: Bounds
    deadline: Deadline
    scratch: "tempfile.TemporaryDirectory[str]"
    stats: QueryStats = field(default_factory=QueryStats)
    known: Mapping[str, LogicalTable] = field(default_factory=dict)
    functions: list[str] = field(default_factory=list)
    paths: Mapping[str, Path] = field(default_factory=dict)
    unreadable: bool = False

    def close(self) -> None:
        self.deadline.close()
        self.scratch.cleanup()

    def translate(self, error: Exception) -> PulkaError:
        told = messages.translate(error, self.known, self.functions)
        self.unreadable |= isinstance(told, Corrupt | Temporary)
        return told

    def session(self) -> SessionContext:
        spill = Path(self.scratch.name, "spill")
        return open_session(self.bounds.memory_bytes, self.engine.threads, spill)


class DataFusionEngine:
    """`pulka.seams.Engine`."""

    def __init__(
        self,
        catalog: Catalog,
        fresh: Fresh,
        files: FragmentFiles,
        *,
        clock: Clock,
        memory_bytes: int = 1 << 30,
        time_s: float = 60,
        rows: int = 100_000,
        search_bytes: int = 64 << 20,
        threads: int = 2,
        scratch: Path | None = None,
        retention_s: int = 0,
    ) -> None:
        self.threads = threads
        self._catalog = catalog
        self._fresh = fresh
        self._files = files
        self._clock = clock
        self._bounds = Bounds(memory_bytes, time_s, rows)
        self._search_bytes = search_bytes
        self._scratch = scratch
        self._retention_s = retention_s

    async def run(self, sql: str, tenant: str, window: TimeRange, limits: Limits) -> Result:
        """Run a SELECT; the work happens while the batches are read."""
        query = self._open(tenant, window, limits)
        try:
            return await self._start(query, sql)
        except BaseException:
            query.close()
            raise

    async def explain(self, sql: str, tenant: str, window: TimeRange) -> Mapping[str, Any]:
        """What the query would read, and what was pruned by which means."""
        query = self._open(tenant, window, Limits())
        try:
            frame, sources = await self._planned(query, sql, read=False)
            plan = frame.optimized_logical_plan().display_indent()
            return {"tables": [_funnel(source) for source in sources], "plan": plan}
        finally:
            query.close()

    def _open(self, tenant: str, window: TimeRange, limits: Limits) -> _Query:
        own = bounds(limits, self._bounds)
        scratch = tempfile.TemporaryDirectory(prefix="pulka-query-", dir=self._scratch, ignore_cleanup_errors=True)
        return _Query(self, tenant, window, own, Deadline(self._clock, own.time_s), scratch)

    async def _start(self, query: _Query, sql: str) -> Result:
        frame, sources = await self._planned(query, sql, read=True)
        _count(query.stats, sources)
        began = self._clock.monotonic_s()
        return Result(plain_schema(frame.schema()), self._stream(query, frame, began), query.stats)

    async def _stream(self, query: _Query, frame: DataFrame, began: float) -> AsyncGenerator[pa.RecordBatch, None]:
        running = None
        try:
            running = Running(await query.deadline.of(asyncio.to_thread(self._guarded, query, frame.execute_stream)))
            async for batch in bounded(running, query.bounds.rows, query.deadline, query.stats, query.translate):
                yield batch
        finally:
            if running is not None:
                running.close()
            query.stats.time_ms["execute"] = (self._clock.monotonic_s() - began) * 1000
            query.close()

    async def _planned(self, query: _Query, sql: str, *, read: bool) -> tuple[DataFrame, list[_Source]]:
        """The query over its real tables; planned again when events with a new type of some field came in between."""
        for left in reversed(range(_PLANS_MAX)):
            prepared, sources = await self._prepare(query, sql)
            if read:
                await self._timed(query, "fetch", self._lease(query, [one for source in sources for one in source.fragments]))
                await self._timed(query, "search", self._search(query, sources))
            try:
                return await query.deadline.of(asyncio.to_thread(self._bind, query, prepared, sources)), sources
            except shapes.Outgrown:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def _prepare(self, query: _Query, sql: str) -> tuple[_Prepared, list[_Source]]:
        statement = check_select(sql)
        # In this order: what is published in between is known from the first, and the other way round from neither.
        fresh = self._fresh.fresh_fields(query.tenant)
        query.known = logical_tables(await query.deadline.of(self._catalog.tables(query.tenant)), fresh)
        prepared = await self._timed(query, "plan", asyncio.to_thread(self._plan, query, statement))
        sources = await self._timed(query, "prune", self._sources(query, prepared))
        return prepared, sources

    async def _timed(self, query: _Query, stage: str, work: Awaitable[T]) -> T:
        began = self._clock.monotonic_s()
        done: T = await query.deadline.of(work)
        query.stats.time_ms[stage] = (self._clock.monotonic_s() - began) * 1000
        return done

    def _plan(self, query: _Query, sql: str) -> _Prepared:
        tables = mentioned(sql, query.known)
        session = query.session()
        query.functions = [*session.udfs(), *session.udafs(), *session.udwfs()]
        for table in tables.values():
            session.register_record_batches(table.name, [[table.empty()]])
        sql, frame = self._resolve(query, session, quote_paths(sql, tables), tables)
        return _Prepared(sql, tables, frame.schema(), self._guarded(query, lambda: uses(frame, tables)))

    def _resolve(
        self, query: _Query, session: SessionContext, sql: str, tables: Mapping[str, LogicalTable]
    ) -> tuple[str, DataFrame]:
        """Bind the query; a name that only differs by case from exactly one field is taken for it."""
        paths = {path for table in tables.values() for path in table.fields}
        for _ in range(_NAMES_TRIED_MAX):
            try:
                return sql, read_only(session, sql)
            except Exception as error:
                word = (messages.unknown_field(error) or "").rpartition(".")[2]
                name = unique_match(word, paths)
                if name is None or (sql := quote_word(before := sql, word, name)) == before:
                    raise query.translate(error) from error
        raise query.translate(ValueError("too many names that differ by case only"))

    async def _sources(self, query: _Query, prepared: _Prepared) -> list[_Source]:
        return [await self._source(query, use) for use in prepared.uses.values()]

    async def _source(self, query: _Query, use: Use) -> _Source:
        """Fresh batches first, then the snapshot: what is published in between is in both, and dropped from the first."""
        window = use.window(query.window)
        fresh = self._fresh.fresh(query.tenant, use.table.name)
        snapshot = await self._catalog.snapshot(query.tenant, use.table.name, window)
        batches = [(at, b) for at, b in fresh if at.sequence > snapshot.positions.get(at.partition, 0) and b.num_rows]
        hidden = Hidden.of(snapshot, use.table.name, self._retention_s, self._clock.now_ns())
        alive = [fragment for fragment in snapshot.fragments if not hidden.takes_all(fragment)]
        kept, pruned = await asyncio.to_thread(prune, use.predicate(), alive, use.table)
        pruned["time"] += snapshot.pruned_by_time
        if expired := len(snapshot.fragments) - len(alive):
            pruned["retention"] = expired
        return _Source(use, window, sorted(kept, key=lambda one: -one.max_ns), batches, pruned, hidden)

    async def _search(self, query: _Query, sources: list[_Source]) -> None:
        bytes_max = min(self._search_bytes, query.bounds.memory_bytes // 4)
        for source in sources:
            # What is deleted is found by fields that a search does not read: those fragments are scanned.
            whole = [one for one in source.fragments if not source.hidden.in_fragment(one)]
            files = {str(query.paths[one.id].absolute()): one for one in whole}
            source.found = await search(source.use, source.window, files, bytes_max=bytes_max, threads=self.threads)

    async def _lease(self, query: _Query, fragments: list[Fragment]) -> None:
        """Local files for as long as the query may run. Bound to the deadline: it also ends for a result nobody reads."""
        lease = await self._files.lease(fragments)
        query.paths = lease.paths
        query.deadline.at_end(lambda: lease.release(query.unreadable))

    def _bind(self, query: _Query, prepared: _Prepared, sources: list[_Source]) -> DataFrame:
        """The same SQL over the real tables, with as few fields as bind it; all of them where that does not do."""
        if not _STAR.search(prepared.sql):
            try:
                frame = self._bound(query, prepared, sources, every=False)
                if frame.schema().names == prepared.schema.names:
                    return frame
            except shapes.Outgrown:
                raise
            except Exception:  # noqa: S110 - a name the text hides, as in column aliases of a table: show all fields
                pass
        return self._guarded(query, lambda: self._bound(query, prepared, sources, every=True))

    def _bound(self, query: _Query, prepared: _Prepared, sources: list[_Source], every: bool) -> DataFrame:
        session = query.session()
        read = {source.use.table.name for source in sources if not source.is_empty}
        for table in prepared.tables.values():
            if table.name not in read:
                session.register_record_batches(table.name, [[table.empty()]])
        for source in sources:
            if source.use.table.name in read:
                fields = source.use.table.fields
                shown = frozenset(path for path in fields if every or path.replace('"', '""') in prepared.sql)
                session.register_view(source.use.table.name, self._view(query, session, source, shown))
        return read_only(session, prepared.sql)

    def _view(self, query: _Query, session: SessionContext, source: _Source, shown: frozenset[str]) -> DataFrame:
        table = source.use.table
        used = frozenset(source.use.columns) | {TIMESTAMP}
        fields = [field for field in table.fields.values() if field.path in used]
        folder = Path(tempfile.mkdtemp(dir=query.scratch.name))
        frames: list[DataFrame] = []
        for removals, members in _alike((source.hidden.in_fragment(one), one) for one in source.scanned):
            read = used | fields_of(removals)
            for shape, ones in shapes.group((shapes.shape_of_fragment(one, read), one) for one in members):
                shapes.check_known(shape, table, ones)
                paths = [query.paths[one.id].absolute() for one in ones] if query.paths else []  # nothing is read to explain
                scan = shapes.scan_fragments(session, shape, paths, folder / str(len(frames)))
                frames.append(shapes.project(without(scan, shape, removals), shape, fields))
        known = definition(table.name).columns
        for removals, batches in _alike((source.hidden.in_record(at), batch) for at, batch in source.fresh):
            read = used | fields_of(removals)
            for shape, some in shapes.group((shapes.shape_of_batch(one, read, known), one) for one in batches):
                shapes.check_known(shape, table)
                scan = shapes.scan_batches(session, shape, some)
                frames.append(shapes.project(without(scan, shape, removals), shape, fields))
        for shape, some in shapes.group((shapes.shape_of_fragment(one, used), batch) for one, batch in source.searched):
            shapes.check_known(shape, table)
            frames.append(shapes.project(shapes.scan_batches(session, shape, some), shape, fields))
        return shapes.build_view(frames, table, used, shown, query.window)

    def _guarded(self, query: _Query, work: Callable[[], T]) -> T:
        try:
            return work()
        except PulkaError:
            raise
        except Exception as error:
            raise query.translate(error) from error


def _alike(sources: Iterable[tuple[tuple[Removal, ...], T]]) -> list[tuple[tuple[Removal, ...], list[T]]]:
    """Sources from which the same is removed, together."""
    found: dict[tuple[Removal, ...], list[T]] = {}
    for removals, source in sources:
        found.setdefault(removals, []).append(source)
    return list(found.items())


def _count(stats: QueryStats, sources: list[_Source]) -> None:
    for source in sources:
        stats.fragments_total += source.total
        stats.fragments_scanned += len(source.fragments)
        stats.fresh_rows += source.fresh_rows
        stats.bytes_scanned += source.bytes
        _add(stats.fragments_pruned, source.pruned)
        if source.found is not None:
            stats.row_groups_total += source.found.row_groups
            stats.rows_found += source.found.rows_found
            _add(stats.row_groups_pruned, source.found.pruned)


def _add(totals: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, number in more.items():
        totals[reason] = totals.get(reason, 0) + number


def _funnel(source: _Source) -> dict[str, Any]:
    return {
        "table": source.use.table.name,
        "fragments_total": source.total,
        "pruned": source.pruned,
        "scanned": len(source.fragments),
        "fresh_rows": source.fresh_rows,
        "bytes": source.bytes,
        "columns": sorted(source.use.columns),
        "filters": source.use.filters,
    }
