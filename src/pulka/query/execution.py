"""From sources to batches: in this process, or in one of the query's own."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
from datafusion import DataFrame

from pulka.model.windows import TimeRange
from pulka.query.apart import lingers, multiplies
from pulka.query.binding import Prepared, bind, shown_schema
from pulka.query.limits import Batches, Running, bounded
from pulka.query.query import Query
from pulka.query.source import Source
from pulka.query.turns import Turns

__all__ = ["Execution", "Start", "run", "watched"]

Start = Callable[[], Awaitable[Batches]]
"""What starts an answer."""


class Execution:
    """Runs queries. Those of `apart_bytes` or more run apart while other tenants ask (0: none does): the kernel lets those pass first."""

    def __init__(self, turns: Turns, apart_bytes: int) -> None:
        self._turns, self._apart_bytes = turns, apart_bytes

    async def explain(self, query: Query, prepared: Prepared, sources: Sequence[Source]) -> str:
        """The plan in words."""
        arguments = (prepared, sources, query.place(), query.window)
        if query.apart is not None:
            plan: str = await query.deadline.of(query.apart.ask("explain", *arguments))
        else:
            plan = await query.deadline.of(query.in_thread(lambda: bind(query.session, *arguments).optimized_logical_plan().display_indent()))
        return plan

    async def bind(self, query: Query, prepared: Prepared, sources: Sequence[Source], window: TimeRange) -> tuple[pa.Schema, Start]:
        """The schema of the answer over `sources`, and what starts it."""
        arguments = (prepared, sources, query.place(), window)
        if query.apart is None and not self._runs_apart(query, prepared, sources):
            frame = await query.in_thread(lambda: bind(query.session, *arguments))
            frames = [frame]  # handed over once: it holds on to what its plan has in memory
            return shown_schema(frame, prepared), lambda: run(query, frames.pop())
        apart = await query.own_process(gives_way=self._turns.has_neighbours(query.tenant))
        return await apart.ask("run", *arguments), apart.itself

    async def batches(self, query: Query, start: Start, enough: int) -> AsyncGenerator[pa.RecordBatch, None]:
        """What is started, within the bounds of the query."""
        running = await query.deadline.of(start())
        with watched(query, running):
            async for batch in bounded(running, query.bounds.rows, query.deadline, query.stats, query.translate, enough):
                query.progress.rows = query.stats.rows
                yield batch

    def _runs_apart(self, query: Query, prepared: Prepared, sources: Sequence[Source]) -> bool:
        lingering = query.processes.forks and lingers(prepared, sources)  # a process that takes half a second to start is worse
        return multiplies(prepared, sources) or lingering or self._gives_way(query, sources)

    def _gives_way(self, query: Query, sources: Sequence[Source]) -> bool:
        """Whether its threads would stand in the way of other tenants' queries."""
        return self._apart_bytes > 0 and sum(one.bytes for one in sources) >= self._apart_bytes and self._turns.has_neighbours(query.tenant)


async def run(query: Query, frame: DataFrame) -> Running:
    """Start a plan in this process."""
    stream = await query.in_thread(frame.execute_stream)
    return Running(stream, frame.execution_plan())


@contextmanager
def watched(query: Query, running: Batches) -> Iterator[None]:
    """Show how far it is, and stop it at the end, also when nobody reads on."""
    query.progress.stage, query.progress.reads = "execute", running.read
    query.deadline.at_end(running.close)
    try:
        yield
    finally:
        query.progress.settle()
        running.close()
