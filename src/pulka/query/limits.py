"""A running result within its bounds: rows, wall time, memory; closing it stops the work.

The caller is answered at the deadline whatever happens. The work itself stops at DataFusion's next point of rest; what may have none
runs in a process of its own (`apart/`).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from pulka.errors import LimitExceeded, PulkaError
from pulka.query.text import plain
from pulka.seams import Clock, Limits, QueryStats

__all__ = ["Batches", "Bounds", "Deadline", "Running", "bounded", "bounds", "unbounded"]


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
    """One timer for all steps of a query."""

    def __init__(self, clock: Clock, time_s: float) -> None:
        self._time_s = time_s
        self._timer = asyncio.ensure_future(clock.sleep(time_s))

    async def of(self, work: Any) -> Any:
        """Await `work`; past the deadline it is cancelled and LimitExceeded raised."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._timer}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            task.cancel()
        raise LimitExceeded(
            f"the query ran longer than {self._time_s:g} s", hint="narrow the time window, or raise query_time_s"
        )

    def at_end(self, act: Callable[[], None]) -> None:
        """Call `act` once the query is closed or its time is over."""
        self._timer.add_done_callback(lambda timer: act())

    def close(self) -> None:
        """Stop the timer."""
        self._timer.cancel()


class Batches(Protocol):
    """An answer under way."""

    async def next(self) -> pa.RecordBatch | None:
        """The next batch, or None at the end."""
        ...

    def close(self) -> None:
        """Stop the work."""
        ...


class Running:
    """A DataFusion stream that can be let go of, even while a traceback still holds the frames that read it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def next(self) -> pa.RecordBatch | None:
        """The next batch, or None at the end."""
        try:
            batch: pa.RecordBatch = (await anext(self._stream)).to_pyarrow()
        except StopAsyncIteration:
            return None
        return batch

    def close(self) -> None:
        """Drop the stream: that stops the work in DataFusion."""
        self._stream = None


async def bounded(
    running: Batches, rows: int, deadline: Deadline, stats: QueryStats, translate: Callable[[Exception], PulkaError]
) -> AsyncGenerator[pa.RecordBatch, None]:
    """The batches of a query, at most `rows` rows of them."""
    while (batch := await _translated(deadline.of(running.next()), translate)) is not None:
        left = rows - stats.rows
        stats.truncated = batch.num_rows > left
        stats.rows += min(batch.num_rows, left)
        if left > 0 and batch.num_rows > 0:
            yield plain(batch.slice(0, left))
        if stats.truncated:
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
