"""A running result within its bounds: rows, wall time, memory; closing it stops the work."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pulka.errors import LimitExceeded, PulkaError
from pulka.seams import Clock, Limits, QueryStats

__all__ = ["Bounds", "Deadline", "bounded", "bounds"]


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

    def close(self) -> None:
        """Stop the timer."""
        self._timer.cancel()


async def bounded(
    stream: Any, rows: int, deadline: Deadline, stats: QueryStats, translate: Callable[[Exception], PulkaError]
) -> AsyncGenerator[pa.RecordBatch, None]:
    """The batches of a DataFusion stream, at most `rows` rows of them."""
    while True:
        try:
            batch = (await deadline.of(_next(stream))).to_pyarrow()
        except _End:
            return
        except PulkaError:
            raise
        except Exception as error:
            raise translate(error) from None
        left = rows - stats.rows
        stats.truncated = batch.num_rows > left
        stats.rows += min(batch.num_rows, left)
        if left > 0 and batch.num_rows > 0:
            yield batch.slice(0, left)
        if stats.truncated:
            return


class _End(Exception):  # noqa: N818 - not an error: StopAsyncIteration may not leave a task
    pass


async def _next(stream: Any) -> Any:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise _End from None
