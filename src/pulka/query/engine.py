"""The Engine on DataFusion: bind and plan once on empty tables, prune, then run the same SQL over what is left."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from datafusion import DataFrame, SessionContext

from pulka.errors import BadQuery, Corrupt, PulkaError, Temporary, TooLarge
from pulka.model.fields import TIMESTAMP
from pulka.model.windows import TimeRange
from pulka.query import messages, shapes
from pulka.query.answers import Answer, Answers, Kept, key_of
from pulka.query.apart import Apart, grows, multiplies
from pulka.query.binding import Place, Prepared, bind, scans
from pulka.query.flagged import Flagged, flagged, marked, pieces
from pulka.query.limits import NO_END, Batches, Bounds, Deadline, Running, bounded, bounds, unbounded
from pulka.query.names import check_select
from pulka.query.newest import Step, fewer, steps
from pulka.query.plan import Use
from pulka.query.planning import prepare
from pulka.query.prune import prune
from pulka.query.queries import Progress, Queries
from pulka.query.removal import Hidden
from pulka.query.schema import LogicalTable, logical_tables
from pulka.query.search_scan import search
from pulka.query.session import open_session
from pulka.query.source import Source, fresh_within
from pulka.query.statistics import count, funnel, leave_out, plan_to_read
from pulka.query.text import plain_schema
from pulka.query.turns import Turns
from pulka.seams import Catalog, Clock, Fragment, FragmentFiles, Fresh, Limits, QueryStats, Result, Scanned

__all__ = ["DataFusionEngine"]

_PLANS_MAX = 5
_Start = Callable[[], Awaitable[Batches]]
T = TypeVar("T")


@dataclass(slots=True)
class _Query:
    """One query on its way: what it may use, where it keeps its links and spills, and what it has counted."""

    engine: "DataFusionEngine"
    tenant: str
    window: TimeRange
    bounds: Bounds
    deadline: Deadline
    progress: Progress
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


@dataclass(slots=True)
class _Planned:
    """A query that is ready to begin, with the first of its steps, of which there is mostly one."""

    prepared: Prepared
    steps: list[Step]
    schema: pa.Schema
    start: _Start
    kept: Kept | None


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
        text_bytes: int = 1 << 20,
        apart_bytes: int = 0,
        turns: Turns | None = None,
        queries: Queries | None = None,
        answers: Answers | None = None,
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
        self._apart_bytes = apart_bytes
        self._turns = Turns(clock) if turns is None else turns
        self._queries = Queries() if queries is None else queries
        self._answers = Answers(0) if answers is None else answers

    async def run(self, sql: str, tenant: str, window: TimeRange, limits: Limits, query_id: str = "") -> Result:
        """Run a SELECT; the work happens while the batches are read."""
        query = self._open(sql, tenant, window, limits, query_id)
        try:
            await self._timed(query, "wait", self._turn(query))
            return await self._start(query, sql)
        except BaseException:
            await query.close()
            raise

    async def explain(self, sql: str, tenant: str, window: TimeRange) -> Mapping[str, Any]:
        """What the query would read, and what was pruned by which means."""
        query = self._open(sql, tenant, window, Limits())
        try:
            await self._timed(query, "wait", self._turn(query))
            prepared, sources = await self._prepare(query, sql)
            arguments = (prepared, sources, query.place(), query.window)
            if query.apart is not None:
                plan = await query.deadline.of(query.apart.ask("explain", *arguments))
            else:
                plan = await query.deadline.of(asyncio.to_thread(self._guarded, query, lambda: bind(query.session, *arguments).optimized_logical_plan().display_indent()))
            first = [sum(len(one.fragments) for one in some) for some, _ in self._steps(query, prepared, sources)]
            return {"tables": [funnel(source) for source in sources], "plan": plan} | ({"newest_first": first} if len(first) > 1 else {})
        finally:
            await query.close()

    async def scan(
        self, table: str, conditions: Sequence[str], tenant: str, window: TimeRange, limits: Limits, stats: QueryStats
    ) -> AsyncGenerator[Scanned, None]:
        """`pulka.seams.Engine.scan`."""
        if any(map(grows, conditions)):
            raise BadQuery("a condition is about what a row has; it cannot make more of it", hint="leave out repeat, lpad, range and the like")
        query = self._open(f"compare {table}", tenant, window, limits)
        query.stats = stats
        stats.id = query.progress.id
        try:
            await self._timed(query, "wait", self._turn(query))
            async for chosen in self._chosen(query, marked(table, conditions)):
                running = await query.deadline.of(self._running(query, chosen.frame))
                self._watch(query, running)
                try:
                    async for batch in unbounded(running, query.deadline, query.translate):
                        stats.rows += batch.num_rows
                        query.progress.rows = stats.rows
                        yield chosen.scanned(batch)
                finally:
                    query.progress.settle()
                    running.close()
        finally:
            await query.close()

    async def _chosen(self, query: _Query, sql: str) -> AsyncGenerator[Flagged, None]:
        """The scans that answer `marked` conditions, planned again as queries are."""
        for left in reversed(range(_PLANS_MAX)):
            prepared, sources = await self._prepare(query, sql)
            plan_to_read(query.progress, sources)
            for source in sources:
                source.use.columns.update(source.use.table.fields)  # every field is shown
            await self._fetch(query, sources)
            try:
                frames = await query.deadline.of(asyncio.to_thread(self._guarded, query, lambda s=sources, p=prepared: self._flagged(query, s, p)))
                break
            except shapes.Outgrown:
                if not left:
                    raise
        count(query.stats, sources)
        query.progress.stage = "execute"
        for frame in frames:
            yield frame

    def _flagged(self, query: _Query, sources: list[Source], prepared: Prepared) -> list[Flagged]:
        session, conditions = query.session(), pieces(prepared.sql)
        return [
            flagged(frame, shape, source.use.table, conditions)
            for source in sources
            for shape, frame in scans(session, source, query.place(), frozenset(source.use.table.fields))
        ]

    def _open(self, sql: str, tenant: str, window: TimeRange, limits: Limits, query_id: str = "") -> _Query:
        own = bounds(limits, self._bounds)
        deadline, now_ns = Deadline(self._clock, own.time_s), self._clock.now_ns()
        try:
            progress = self._queries.add(query_id, tenant, sql, now_ns, deadline.cancel)
        except PulkaError:
            deadline.close()
            raise
        deadline.at_end(lambda: self._queries.remove(progress))
        scratch = tempfile.TemporaryDirectory(prefix="pulka-query-", dir=self._scratch, ignore_cleanup_errors=True)
        return _Query(self, tenant, window, own, deadline, progress, scratch, QueryStats(progress.id))

    async def _turn(self, query: _Query) -> None:
        query.deadline.at_end(await self._turns.take(query.tenant, query.bounds.memory_bytes))

    async def _start(self, query: _Query, sql: str) -> Result:
        planned = await self._planned(query, sql)
        if isinstance(planned, Answer):
            query.stats.cached, query.stats.truncated = True, planned.truncated
            query.stats.rows = sum(batch.num_rows for batch in planned.batches)
            await query.close()
            return Result(planned.schema, planned.replay(), query.stats)
        return Result(planned.schema, self._stream(query, planned, self._clock.monotonic_s()), query.stats)

    async def _stream(self, query: _Query, planned: _Planned, began: float) -> AsyncGenerator[pa.RecordBatch, None]:
        enough, start = planned.prepared.newest or NO_END, planned.start
        try:
            for number, (sources, window) in enumerate(planned.steps):
                if number:
                    start = await self._next_step(query, planned.prepared, sources, window)
                async for batch in self._batches(query, start, enough):
                    # What the plan takes for nullable may not be so in a batch, and the other way round.
                    shown = batch if batch.schema.equals(planned.schema) else pa.RecordBatch.from_arrays(batch.columns, schema=planned.schema)
                    if planned.kept:
                        planned.kept.add(shown)
                    yield shown
                if query.stats.rows >= enough or query.stats.truncated:
                    leave_out(query.stats, planned.steps[number + 1 :])
                    break
            if planned.kept:
                planned.kept.end(query.stats.truncated)
        except (Corrupt, Temporary):
            query.unreadable = True
            raise
        finally:
            query.stats.time_ms["execute"] = (self._clock.monotonic_s() - began) * 1000
            await query.close()

    async def _batches(self, query: _Query, start: _Start, enough: int) -> AsyncGenerator[pa.RecordBatch, None]:
        """What one part of a query answers."""
        running = await query.deadline.of(start())
        self._watch(query, running)
        try:
            async for batch in bounded(running, query.bounds.rows, query.deadline, query.stats, query.translate, enough):
                query.progress.rows = query.stats.rows
                yield batch
        finally:
            query.progress.settle()
            running.close()

    async def _planned(self, query: _Query, sql: str) -> _Planned | Answer:
        """The query over its real tables; planned again when events with a new type of some field came in between."""
        for left in reversed(range(_PLANS_MAX)):
            prepared, sources = await self._prepare(query, sql)
            key = key_of(query.tenant, prepared, sources, query.bounds.rows) if self._answers.answer_bytes_max else None
            if key is not None and (answer := self._answers.get(key)) is not None:
                count(query.stats, [replace(one, fragments=[], fresh=[], pruned={**one.pruned, "cached": len(one.fragments)}) for one in sources])
                return answer
            plan_to_read(query.progress, sources)
            try:
                found = self._steps(query, prepared, sources)
                await self._fetch(query, found[0][0])
                schema, start = await query.deadline.of(self._bound(query, prepared, *found[0]))
            except shapes.Outgrown:
                if not left:
                    raise
                continue
            count(query.stats, found[0][0])
            kept = None if key is None else Kept(self._answers, key, plain_schema(schema))
            return _Planned(prepared, fewer(found), plain_schema(schema), start, kept)
        raise AssertionError("unreachable")

    def _steps(self, query: _Query, prepared: Prepared, sources: list[Source]) -> list[Step]:
        """One step, unless the newest rows are looked for: then the types of all fragments are checked with the first."""
        if prepared.newest is None or query.apart is not None or len(sources) != 1:
            return [(sources, query.window)]
        found = steps(sources[0], query.window, prepared.newest)
        if len(found) > 1:
            used = frozenset(sources[0].use.columns) | {TIMESTAMP}
            for one in sources[0].fragments:
                shapes.check_known(shapes.shape_of_fragment(one, used), sources[0].use.table, [one])
        return found

    async def _next_step(self, query: _Query, prepared: Prepared, sources: list[Source], window: TimeRange) -> _Start:
        if query.apart is not None:  # it ended with the step before
            await query.apart.end()
            query.apart = None
        await self._fetch(query, sources)
        start: _Start = (await query.deadline.of(self._bound(query, prepared, sources, window)))[1]
        count(query.stats, sources)
        return start

    async def _bound(self, query: _Query, prepared: Prepared, sources: list[Source], window: TimeRange) -> tuple[pa.Schema, _Start]:
        """The schema of the answer, and what starts it."""
        arguments = (prepared, sources, query.place(), window)
        if query.apart is None and not multiplies(prepared, sources) and not self._gives_way(query, sources):
            frame = await asyncio.to_thread(self._guarded, query, lambda: bind(query.session, *arguments))
            frames = [frame]  # handed over once: it holds on to what its plan has in memory
            return frame.schema(), lambda: self._running(query, frames.pop())
        apart = await self._apart(query)
        return await apart.ask("run", *arguments), apart.itself

    async def _running(self, query: _Query, frame: DataFrame) -> Running:
        stream = await asyncio.to_thread(self._guarded, query, frame.execute_stream)
        return Running(stream, frame.execution_plan())

    def _gives_way(self, query: _Query, sources: list[Source]) -> bool:
        """Whether it is so large that its threads would stand in the way of other tenants' queries: apart, the kernel lets those pass first."""
        return self._apart_bytes > 0 and sum(one.bytes for one in sources) >= self._apart_bytes and self._turns.has_neighbours(query.tenant)

    def _watch(self, query: _Query, running: Batches) -> None:
        """Show how far it is, and stop it at the end, also when nobody reads on."""
        query.progress.stage, query.progress.reads = "execute", running.read
        query.deadline.at_end(running.close)

    async def _apart(self, query: _Query) -> Apart:
        """The query's own process."""
        if query.apart is None:
            gives_way = self._turns.has_neighbours(query.tenant)
            query.apart = await Apart.start(query.bounds.memory_bytes, self.threads, str(query.spill), gives_way=gives_way)
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
        query.progress.stage = stage
        began = self._clock.monotonic_s()
        done: T = await query.deadline.of(work)
        query.stats.time_ms[stage] = query.stats.time_ms.get(stage, 0) + (self._clock.monotonic_s() - began) * 1000
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
        return Source(use, window, sorted(kept, key=lambda one: -one.max_ns), fresh_within(batches, window), pruned, hidden)

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
        query.paths = {**query.paths, **lease.paths}
        query.deadline.at_end(lambda: lease.release(query.unreadable))

    def _guarded(self, query: _Query, work: Callable[[], T]) -> T:
        try:
            return work()
        except PulkaError:
            raise
        except Exception as error:
            raise query.translate(error) from error
