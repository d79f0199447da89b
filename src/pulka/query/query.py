"""One query on its way: what it may use, what it has counted, and how it lets go of everything."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from datafusion import SessionContext

from pulka.errors import Corrupt, PulkaError, Temporary
from pulka.model.windows import TimeRange
from pulka.query import messages
from pulka.query.apart import Apart, Processes
from pulka.query.binding import Place
from pulka.query.limits import Bounds, Deadline
from pulka.query.queries import Progress
from pulka.query.schema import LogicalTable
from pulka.query.session import open_session
from pulka.seams import Clock, QueryStats

__all__ = ["Query"]

T = TypeVar("T")


@dataclass(slots=True)
class Query:
    """Whoever opens one closes it; what it holds is also let go of at its deadline, in case nobody reads on."""

    tenant: str
    window: TimeRange
    bounds: Bounds
    threads: int
    clock: Clock
    deadline: Deadline
    progress: Progress
    scratch: "tempfile.TemporaryDirectory[str]"
    """Of its links and spills."""
    processes: Processes
    stats: QueryStats = field(default_factory=QueryStats)
    known: Mapping[str, LogicalTable] = field(default_factory=dict)
    paths: Mapping[str, Path] = field(default_factory=dict)
    unreadable: bool = False
    apart: Apart | None = None

    async def close(self) -> None:
        """Let go of everything."""
        self.deadline.close()
        self.scratch.cleanup()
        await self.end_apart()

    async def timed(self, stage: str, work: Awaitable[T]) -> T:
        """Do one stage of the work until the deadline, and note how long it took."""
        self.progress.stage = stage
        began = self.clock.monotonic_s()
        done: T = await self.deadline.of(work)
        self.stats.time_ms[stage] = self.stats.time_ms.get(stage, 0) + (self.clock.monotonic_s() - began) * 1000
        return done

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do work of the engine; what it raises becomes a PulkaError."""
        return await asyncio.to_thread(self._translated, work)

    def _translated(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except PulkaError:
            raise
        except Exception as error:
            raise self.translate(error) from error

    def translate(self, error: Exception) -> PulkaError:
        """The error in words of the user's tables."""
        told = messages.translate(error, self.known)
        self.unreadable |= isinstance(told, Corrupt | Temporary)
        return told

    def place(self) -> Place:
        """Where its files are, and where links to them go."""
        return Place(self.paths, Path(self.scratch.name))

    def session(self) -> SessionContext:
        """A session within its bounds."""
        return open_session(self.bounds.memory_bytes, self.threads, self._spill)

    async def own_process(self, *, gives_way: bool) -> Apart:
        """The query's own process, which the timer kills too."""
        if self.apart is None:
            self.apart = await self.processes.start(self.bounds.memory_bytes, self.threads, str(self._spill), gives_way=gives_way)
            self.deadline.at_end(self.apart.close)
        return self.apart

    async def end_apart(self) -> None:
        """End its own process, if it has one."""
        if self.apart is not None:
            await self.apart.end()
            self.apart = None

    @property
    def _spill(self) -> Path:
        return Path(self.scratch.name, "spill")
