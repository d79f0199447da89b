"""The Engine on DataFusion: bind and plan once on empty tables, prune, then run the same SQL over what is left."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from datafusion import DataFrame, SessionContext

from pulka.errors import BadQuery, Corrupt, PulkaError, Temporary, TooLarge
from pulka.model.windows import TimeRange
from pulka.query import messages, shapes
from pulka.query.apart import Apart, grows, multiplies
from pulka.query.binding import Place, Prepared, bind, scans
from pulka.query.flagged import Flagged, flagged, marked, pieces
from pulka.query.limits import Batches, Bounds, Deadline, Running, bounded, bounds, unbounded
from pulka.query.names import check_select
from pulka.query.plan import Use
from pulka.query.planning import prepare
from pulka.query.prune import prune
from pulka.query.removal import Hidden
from pulka.query.schema import LogicalTable, logical_tables
from pulka.query.search_scan import search
from pulka.query.session import open_session
from pulka.query.source import Source
from pulka.query.text import plain_schema
from pulka.seams import Catalog, Clock, Fragment, FragmentFiles, Fresh, Limits, QueryStats, Result, Scanned

__all__ = ["DataFusionEngine"]

_PLANS_MAX = 5
T = TypeVar("T")


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
    paths: Mapping[str, Path] = field(default_factory=dict)
    unreadable: bool = False
    apart: Apart | None = None

    async def close(self) -> None:
        """Let go of everything. What runs apart is killed by the timer too, which ends for a result nobody reads."""
        self.deadline.close()
        self.scratch.cleanup()
        if self.apart is not None:
            await self.apart.end()

    def place(self) -> Place:
        return Place(self.paths, Path(self.scratch.name))

    def translate(self, error: Exception) -> PulkaError:
        told = messages.translate(error, self.known)
        self.unreadable |= isinstance(told, Corrupt | Temporary)
        return told

    def session(self) -> SessionContext:
        return open_session(self.bounds.memory_bytes, self.engine.threads, self.spill)

    @property
    def spill(self) -> Path:
        return Path(self.scratch.name, "spill")


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
        processes: int = 4,
        text_bytes: int = 1 << 20,
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
        self._text_bytes = text_bytes
        self._processes = asyncio.Semaphore(processes)

    async def run(self, sql: str, tenant: str, window: TimeRange, limits: Limits) -> Result:
        """Run a SELECT; the work happens while the batches are read."""
        query = self._open(tenant, window, limits)
        try:
            return await self._start(query, sql)
        except BaseException:
            await query.close()
            raise

    async def explain(self, sql: str, tenant: str, window: TimeRange) -> Mapping[str, Any]:
        """What the query would read, and what was pruned by which means."""
        query = self._open(tenant, window, Limits())
        try:
            prepared, sources = await self._prepare(query, sql)
            arguments = (prepared, sources, query.place(), query.window)
            if query.apart is not None:
                plan = await query.deadline.of(query.apart.ask("explain", *arguments))
            else:
                plan = await query.deadline.of(asyncio.to_thread(self._guarded, query, lambda: bind(query.session, *arguments).optimized_logical_plan().display_indent()))
            return {"tables": [_funnel(source) for source in sources], "plan": plan}
        finally:
            await query.close()

    async def scan(
        self, table: str, conditions: Sequence[str], tenant: str, window: TimeRange, limits: Limits, stats: QueryStats
    ) -> AsyncGenerator[Scanned, None]:
        """`pulka.seams.Engine.scan`."""
        if any(map(grows, conditions)):
            raise BadQuery("a condition is about what a row has; it cannot make more of it", hint="leave out repeat, lpad, range and the like")
        query = self._open(tenant, window, limits)
        query.stats = stats
        try:
            async for chosen in self._chosen(query, marked(table, conditions)):
                running = await query.deadline.of(self._running(query, chosen.frame))
                try:
                    async for batch in unbounded(running, query.deadline, query.translate):
                        stats.rows += batch.num_rows
                        yield chosen.scanned(batch)
                finally:
                    running.close()
        finally:
            await query.close()

    async def _chosen(self, query: _Query, sql: str) -> AsyncGenerator[Flagged, None]:
        """The scans that answer `marked` conditions, planned again as queries are."""
        for left in reversed(range(_PLANS_MAX)):
            prepared, sources = await self._prepare(query, sql)
            for source in sources:
                source.use.columns.update(source.use.table.fields)  # every field is shown
            await self._fetch(query, sources)
            try:
                frames = await query.deadline.of(asyncio.to_thread(self._guarded, query, lambda s=sources, p=prepared: self._flagged(query, s, p)))
                break
            except shapes.Outgrown:
                if not left:
                    raise
        _count(query.stats, sources)
        for frame in frames:
            yield frame

    def _flagged(self, query: _Query, sources: list[Source], prepared: Prepared) -> list[Flagged]:
        session, conditions = query.session(), pieces(prepared.sql)
        return [
            flagged(frame, shape, source.use.table, conditions)
            for source in sources
            for shape, frame in scans(session, source, query.place(), frozenset(source.use.table.fields))
        ]

    def _open(self, tenant: str, window: TimeRange, limits: Limits) -> _Query:
        own = bounds(limits, self._bounds)
        scratch = tempfile.TemporaryDirectory(prefix="pulka-query-", dir=self._scratch, ignore_cleanup_errors=True)
        return _Query(self, tenant, window, own, Deadline(self._clock, own.time_s), scratch)

    async def _start(self, query: _Query, sql: str) -> Result:
        schema, running, sources = await self._planned(query, sql)
        _count(query.stats, sources)
        began = self._clock.monotonic_s()
        return Result(plain_schema(schema), self._stream(query, running, began), query.stats)

    async def _stream(self, query: _Query, start: Callable[[], Awaitable[Batches]], began: float) -> AsyncGenerator[pa.RecordBatch, None]:
        running = None
        try:
            running = await query.deadline.of(start())
            async for batch in bounded(running, query.bounds.rows, query.deadline, query.stats, query.translate):
                yield batch
        except (Corrupt, Temporary):
            query.unreadable = True
            raise
        finally:
            if running is not None:
                running.close()
            query.stats.time_ms["execute"] = (self._clock.monotonic_s() - began) * 1000
            await query.close()

    async def _planned(self, query: _Query, sql: str) -> tuple[pa.Schema, Callable[[], Awaitable[Batches]], list[Source]]:
        """The query over its real tables; planned again when events with a new type of some field came in between."""
        for left in reversed(range(_PLANS_MAX)):
            prepared, sources = await self._prepare(query, sql)
            await self._fetch(query, sources)
            try:
                return *await query.deadline.of(self._bound(query, prepared, sources)), sources
            except shapes.Outgrown:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def _bound(self, query: _Query, prepared: Prepared, sources: list[Source]) -> tuple[pa.Schema, Callable[[], Awaitable[Batches]]]:
        """The schema of the answer, and what starts it."""
        arguments = (prepared, sources, query.place(), query.window)
        if query.apart is None and not multiplies(prepared, sources):
            frame = await asyncio.to_thread(self._guarded, query, lambda: bind(query.session, *arguments))
            return frame.schema(), lambda: self._running(query, frame)
        apart = await self._apart(query)
        return await apart.ask("run", *arguments), apart.itself

    async def _running(self, query: _Query, frame: DataFrame) -> Running:
        return Running(await asyncio.to_thread(self._guarded, query, frame.execute_stream))

    async def _apart(self, query: _Query) -> Apart:
        """The query's own process, as soon as there is room for one more."""
        if query.apart is None:
            await query.deadline.of(self._processes.acquire())
            query.deadline.at_end(self._processes.release)
            query.apart = await Apart.start(query.bounds.memory_bytes, self.threads, str(query.spill))
            query.deadline.at_end(query.apart.close)
        return query.apart

    async def _fetch(self, query: _Query, sources: list[Source]) -> None:
        await self._timed(query, "fetch", self._lease(query, [one for source in sources for one in source.fragments]))
        await self._timed(query, "search", self._search(query, sources))

    async def _prepare(self, query: _Query, sql: str) -> tuple[Prepared, list[Source]]:
        if len(sql.encode(errors="replace")) > self._text_bytes:
            raise TooLarge(f"the query is larger than {self._text_bytes} bytes", hint="put the values it lists in a table, or raise query_text_bytes_max")
        statement = check_select(sql)
        # In this order: what is published in between is known from the first, and the other way round from neither.
        fresh = self._fresh.fresh_fields(query.tenant)
        query.known = logical_tables(await query.deadline.of(self._catalog.tables(query.tenant)), fresh)
        prepared = await self._timed(query, "plan", self._plan(query, statement))
        sources = await self._timed(query, "prune", self._sources(query, prepared))
        return prepared, sources

    async def _timed(self, query: _Query, stage: str, work: Awaitable[T]) -> T:
        began = self._clock.monotonic_s()
        done: T = await query.deadline.of(work)
        query.stats.time_ms[stage] = (self._clock.monotonic_s() - began) * 1000
        return done

    async def _plan(self, query: _Query, statement: str) -> Prepared:
        arguments = (statement, query.known, query.window, self._clock.now_ns())
        if grows(statement):
            prepared: Prepared = await (await self._apart(query)).ask("prepare", *arguments)
            return prepared
        return await asyncio.to_thread(prepare, query.session, *arguments)

    async def _sources(self, query: _Query, prepared: Prepared) -> list[Source]:
        return [await self._source(query, use) for use in prepared.uses.values()]

    async def _source(self, query: _Query, use: Use) -> Source:
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
        return Source(use, window, sorted(kept, key=lambda one: -one.max_ns), batches, pruned, hidden)

    async def _search(self, query: _Query, sources: list[Source]) -> None:
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

    def _guarded(self, query: _Query, work: Callable[[], T]) -> T:
        try:
            return work()
        except PulkaError:
            raise
        except Exception as error:
            raise query.translate(error) from error


def _count(stats: QueryStats, sources: list[Source]) -> None:
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


def _funnel(source: Source) -> dict[str, Any]:
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
