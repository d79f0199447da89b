"""The Engine on DataFusion: bind and plan once on empty tables, prune, then run the same SQL over what is left."""

import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pulka.errors import BadQuery, Corrupt, Temporary
from pulka.model.fields import TIMESTAMP
from pulka.model.windows import TimeRange
from pulka.query import shapes
from pulka.query.answers import Answer, Answers, Kept, key_of
from pulka.query.apart import Processes, grows
from pulka.query.binding import Prepared
from pulka.query.comparisons import with_comparisons
from pulka.query.execution import Execution, Start
from pulka.query.limits import NO_END, Bounds, Deadline, bounds
from pulka.query.newest import Step, fewer, steps
from pulka.query.queries import Queries
from pulka.query.query import Query
from pulka.query.reading import Reading, planned
from pulka.query.scan import scan
from pulka.query.source import Source
from pulka.query.statistics import count, funnel, leave_out, plan_to_read
from pulka.query.text import plain_schema
from pulka.query.turns import Turns
from pulka.seams import Catalog, Clock, FragmentFiles, Fresh, Limits, QueryStats, Result, Scanned

__all__ = ["DataFusionEngine"]


@dataclass(slots=True)
class _Planned:
    """A query that is ready to begin, with the first of its steps, of which there is mostly one."""

    prepared: Prepared
    steps: list[Step]
    schema: pa.Schema
    start: Start
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
        processes: Processes | None = None,
    ) -> None:
        self._clock = clock
        self._bounds = Bounds(memory_bytes, time_s, rows)
        self._threads = threads
        self._scratch = scratch
        self._turns = Turns(clock) if turns is None else turns
        self._queries = Queries() if queries is None else queries
        self._answers = Answers(0) if answers is None else answers
        self._processes = Processes() if processes is None else processes
        self._execution = Execution(self._turns, apart_bytes)
        self._reading = Reading(
            catalog, fresh, files, clock, search_bytes=search_bytes, text_bytes=text_bytes, retention_s=retention_s, gives_way=self._turns.has_neighbours
        )  # fmt: skip

    async def run(self, sql: str, tenant: str, window: TimeRange, limits: Limits, query_id: str = "") -> Result:
        """Run a SELECT; the work happens while the batches are read."""
        query = self._open(sql, tenant, window, limits, query_id)
        try:
            await query.timed("wait", self._turn(query))
            return await self._start(query, sql)
        except BaseException:
            await query.close()
            raise

    async def explain(self, sql: str, tenant: str, window: TimeRange) -> Mapping[str, Any]:
        """What the query would read, and what was pruned by which means."""
        query = self._open(sql, tenant, window, Limits())
        try:
            await query.timed("wait", self._turn(query))
            prepared, sources = await self._reading.prepare(query, await with_comparisons(query, self._reading, sql))
            plan = await self._execution.explain(query, prepared, sources)
            first = [sum(len(one.fragments) for one in some) for some, _ in _steps(query, prepared, sources)]
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
            await query.timed("wait", self._turn(query))
            async with aclosing(scan(query, self._reading, table, conditions)) as scanned:
                async for one in scanned:
                    yield one
        finally:
            await query.close()

    def _open(self, sql: str, tenant: str, window: TimeRange, limits: Limits, query_id: str = "") -> Query:
        own = bounds(limits, self._bounds)
        deadline = Deadline(self._clock, own.time_s)
        try:
            progress = self._queries.add(query_id, tenant, sql, self._clock.now_ns(), deadline.cancel)
            deadline.at_end(lambda: self._queries.remove(progress))
            scratch = tempfile.TemporaryDirectory(prefix="pulka-query-", dir=self._scratch, ignore_cleanup_errors=True)
        except BaseException:
            deadline.close()
            raise
        return Query(tenant, window, own, self._threads, self._clock, deadline, progress, scratch, self._processes, QueryStats(progress.id))

    async def _turn(self, query: Query) -> None:
        query.deadline.at_end(await self._turns.take(query.tenant, query.bounds.memory_bytes))

    async def _start(self, query: Query, sql: str) -> Result:
        statement = await with_comparisons(query, self._reading, sql)
        found = await planned(lambda: self._planned(query, statement))
        if isinstance(found, Answer):
            query.stats.cached, query.stats.truncated = True, found.truncated
            query.stats.rows = sum(batch.num_rows for batch in found.batches)
            await query.close()
            return Result(found.schema, found.replay(), query.stats)
        return Result(found.schema, self._stream(query, found, self._clock.monotonic_s()), query.stats)

    async def _planned(self, query: Query, sql: str) -> _Planned | Answer:
        """The query over its real tables, or what it was answered before."""
        prepared, sources = await self._reading.prepare(query, sql)
        key = key_of(query.tenant, prepared, sources, query.bounds.rows) if self._answers.answer_bytes_max else None
        if key is not None and (answer := self._answers.get(key)) is not None:
            count(query.stats, [replace(one, fragments=[], fresh=[], pruned={**one.pruned, "cached": len(one.fragments)}) for one in sources])
            return answer
        plan_to_read(query.progress, sources)
        found = _steps(query, prepared, sources)
        await self._reading.fetch(query, found[0][0])
        schema, start = await query.deadline.of(self._execution.bind(query, prepared, *found[0]))
        count(query.stats, found[0][0])
        kept = None if key is None else Kept(self._answers, key, plain_schema(schema))
        return _Planned(prepared, fewer(found), plain_schema(schema), start, kept)

    async def _stream(self, query: Query, planned: _Planned, began: float) -> AsyncGenerator[pa.RecordBatch, None]:
        enough, start = planned.prepared.newest or NO_END, planned.start
        try:
            for number, (sources, window) in enumerate(planned.steps):
                if number:
                    start = await self._next_step(query, planned.prepared, sources, window)
                async for batch in self._execution.batches(query, start, enough):
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
            if planned.kept:
                planned.kept.close()
            await query.close()

    async def _next_step(self, query: Query, prepared: Prepared, sources: list[Source], window: TimeRange) -> Start:
        await query.end_apart()  # it ended with the step before
        await self._reading.fetch(query, sources)
        start: Start = (await query.deadline.of(self._execution.bind(query, prepared, sources, window)))[1]
        count(query.stats, sources)
        return start


def _steps(query: Query, prepared: Prepared, sources: list[Source]) -> list[Step]:
    """One step, unless the newest rows are looked for: then the types of all fragments are checked with the first."""
    if prepared.newest is None or query.apart is not None or len(sources) != 1:
        return [(sources, query.window)]
    found = steps(sources[0], query.window, prepared.newest)
    if len(found) > 1:
        used = frozenset(sources[0].use.columns) | {TIMESTAMP}
        for one in sources[0].fragments:
            shapes.check_known(shapes.shape_of_fragment(one, used), sources[0].use.table, [one])
    return found
