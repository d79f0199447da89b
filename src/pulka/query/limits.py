"""A running result within its bounds: rows, wall time, memory; closing it stops the work.

The caller is answered at the deadline whatever happens. The work itself stops at DataFusion's next point of rest; what may have none
runs in a process of its own (`apart/`).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
from datafusion.plan import ExecutionPlan

from pulka.errors import Cancelled, LimitExceeded, PulkaError
from pulka.query.queries import Read
from pulka.query.text import plain
from pulka.seams import Clock, Limits, QueryStats

__all__ = ["NO_END", "Batches", "Bounds", "Deadline", "Running", "bounded", "bounds", "read_by", "unbounded"]

NO_END = 1 << 62
"""More rows than there are."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one query, none open."""

    memory_bytes: int
    time_s: float
    rows: int


def bounds(wanted: Limits, server: Bounds) -> Bounds:
    """What the caller asked for, never more than the server allows."""
    return Bounds(
        min(wanted.memory_bytes or server.memory_bytes, server.memory_bytes),
        min(wanted.time_s or server.time_s, server.time_s),
        server.rows if wanted.rows is None else min(wanted.rows, server.rows),
    )


class Deadline:
    """One timer for all steps of a query, and the way to stop it before."""

    def __init__(self, clock: Clock, time_s: float) -> None:
        self._over: PulkaError = LimitExceeded(f"the query ran longer than {time_s:g} s", hint="narrow the time window, or raise query_time_s")
        self._timer = asyncio.ensure_future(clock.sleep(time_s))

    async def of(self, work: Any) -> Any:
        """Await `work`; past the deadline it is cancelled and LimitExceeded raised, or Cancelled if that came first."""
        task = asyncio.ensure_future(work)
        try:
            if not self._timer.done():
                await asyncio.wait({task, self._timer}, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    return task.result()
        finally:
            task.cancel()
        raise self._over

    def at_end(self, act: Callable[[], None]) -> None:
        """Call `act` once the query is closed, cancelled or its time is over."""
        self._timer.add_done_callback(lambda timer: act())

    def cancel(self) -> None:
        """End the query now: its reader gets Cancelled."""
        if not self._timer.done():
            self._over = Cancelled("the query was cancelled", hint="ask again if you still want the answer")
            self._timer.cancel()

    def close(self) -> None:
        """Stop the timer."""
        self._timer.cancel()


class Batches(Protocol):
    """An answer under way."""

    async def next(self) -> pa.RecordBatch | None:
        """The next batch, or None at the end."""
        ...

    def read(self) -> Read:
        """What was read so far."""
        ...

    def close(self) -> None:
        """Stop the work."""
        ...


class Running:
    """A DataFusion stream that can be let go of, even while a traceback still holds the frames that read it."""

    def __init__(self, stream: Any, plan: ExecutionPlan) -> None:
        self._stream: Any = stream
        self._plan: ExecutionPlan | None = plan
        self._read = Read()

    async def next(self) -> pa.RecordBatch | None:
        """The next batch, or None at the end."""
        try:
            batch: pa.RecordBatch = (await anext(self._stream)).to_pyarrow()
        except StopAsyncIteration:
            return None
        return batch

    def read(self) -> Read:
        """What the plan's own counters say."""
        if self._plan is not None:
            self._read = read_by(self._plan)
        return self._read

    def close(self) -> None:
        """Drop the stream: that stops the work in DataFusion. A plan may hold a whole side of a join."""
        self.read()
        self._stream = self._plan = None


def read_by(plan: ExecutionPlan) -> Read:
    """What the scans of a running plan have read, by their own counters."""
    scans = [metrics for _, metrics in plan.collect_metrics()]
    return Read(*(sum(one.sum_by_name(name) or 0 for one in scans) for name in ("files_processed", "bytes_scanned")))


async def bounded(
    running: Batches, rows: int, deadline: Deadline, stats: QueryStats, translate: Callable[[Exception], PulkaError], enough: int = NO_END
) -> AsyncGenerator[pa.RecordBatch, None]:
    """The batches of a query: the answer ends when `stats` counts `enough` rows, and is cut at `rows`."""
    while (batch := await _translated(deadline.of(running.next()), translate)) is not None:
        left = min(rows, enough) - stats.rows
        stats.truncated = batch.num_rows > left and rows < enough
        stats.rows += min(batch.num_rows, left)
        if left > 0 and batch.num_rows > 0:
            yield plain(batch.slice(0, left))
        if stats.truncated or stats.rows >= enough:
            return


async def unbounded(running: Batches, deadline: Deadline, translate: Callable[[Exception], PulkaError]) -> AsyncGenerator[pa.RecordBatch, None]:
    """All batches of a query whose rows do not leave it."""
    while (batch := await _translated(deadline.of(running.next()), translate)) is not None:
        if batch.num_rows:
            yield batch


async def _translated(work: Awaitable[Any], translate: Callable[[Exception], PulkaError]) -> Any:
    try:
        return await work
    except PulkaError:
        raise
    except Exception as error:
        raise translate(error) from error
