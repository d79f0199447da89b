"""The schedule: which moments of which monitors are due, each evaluated and committed once, by one process of a catalog."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from pulka.errors import Conflict, PulkaError, Temporary
from pulka.monitors.ask import Asker
from pulka.monitors.definition import Monitor
from pulka.monitors.definitions import MONITOR, STATE, body, current_state
from pulka.monitors.evaluate import State, failed, step
from pulka.monitors.lease import Lease
from pulka.monitors.outbox import Outbox, added
from pulka.monitors.telling import Entry, evaluation_error, of_changes
from pulka.seams import Clock, Document, Documents, Edit

__all__ = ["Runner", "RunnerCounts", "due_moments"]

_SECOND_NS = 1_000_000_000
_CATCH_UP = 10
"""Moments that are made up for after a standstill; older ones are left out."""
_AT_ONCE = 2
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class RunnerCounts:
    """Counters since the start."""

    evaluations: int = 0
    changes: int = 0
    failures: int = 0
    conflicts: int = 0


def due_moments(monitor: Monitor, state: State, now_ns: int) -> Sequence[int]:
    """Ends of windows, whole multiples of `every_s` since 1970, whose late events had their time; a new monitor begins with the last."""
    every_ns = monitor.every_s * _SECOND_NS
    last = (now_ns - monitor.delay_s * _SECOND_NS) // every_ns * every_ns
    first = state.upto_ns + every_ns if state.upto_ns else last
    return range(max(first, last - (_CATCH_UP - 1) * every_ns), last + 1, every_ns)


class Runner:
    """Evaluates what is due and sends what is to be told, while it holds the lease."""

    def __init__(
        self, documents: Documents, asker: Asker, outbox: Outbox, lease: Lease, clock: Clock, *, groups_max: int, tick_s: float = 1.0
    ) -> None:  # fmt: skip
        self.counts = RunnerCounts()
        self._documents, self._asker, self._outbox, self._lease, self._clock = documents, asker, outbox, lease, clock
        self._groups_max, self._tick_s = groups_max, tick_s
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Work in the background: slow receivers do not hold up evaluations."""
        self._tasks = [asyncio.create_task(self._forever(work)) for work in (self.evaluate_due, self._outbox.turn)]

    async def close(self) -> None:
        """Stop; what was not sent stays in the catalog."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._lease.release()
        except PulkaError as error:
            _log.info("the lease on monitors runs out by itself: %s", error)

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                if await self._lease.hold():
                    await work()
            except Exception as error:
                self.counts.failures += 1
                _log.warning("monitors: %s: %s", type(error).__name__, error)
            await self._clock.sleep(self._tick_s)

    async def evaluate_due(self) -> None:
        """Every monitor up to now."""
        states = {(one.tenant, one.name): one for one in await self._documents.documents(STATE)}
        monitors = await self._documents.documents(MONITOR)
        await asyncio.gather(*(self._one(one, states.get((one.tenant, one.name))) for one in monitors))

    async def _one(self, document: Document, known: Document | None) -> None:
        monitor = msgspec.json.decode(document.body, type=Monitor)
        state, version = current_state(monitor, known), known.version if known else 0
        try:
            for moment_ns in due_moments(monitor, state, self._clock.now_ns()):
                async with self._slots:
                    state = await self._evaluate(document.tenant, monitor, state, version, moment_ns)
                version += 1
        except Conflict:
            self.counts.conflicts += 1  # another process, or a new definition: it is looked at again in the next turn
        except Temporary as error:
            _log.info("monitor %s of tenant %s waits: %s", monitor.name, document.tenant, error)
        except Exception as error:
            self.counts.failures += 1  # of ours; the others go on, and this one is tried again
            _log.warning("monitor %s of tenant %s: %s: %s", monitor.name, document.tenant, type(error).__name__, error)

    async def _evaluate(self, tenant: str, monitor: Monitor, state: State, version: int, moment_ns: int) -> State:
        """One moment: ask, decide, and commit the state together with what is to be told of it."""
        try:
            answer = await self._asker.answer(tenant, monitor, moment_ns)
        except Temporary:
            raise
        except PulkaError as error:
            after = failed(monitor, state, moment_ns, error.message)
            told = [] if state.error else evaluation_error(tenant, monitor, moment_ns, error.message)
        else:
            after, changes = step(monitor, state, moment_ns, answer, self._groups_max)
            told = of_changes(tenant, monitor, moment_ns, changes)
            told += evaluation_error(tenant, monitor, moment_ns, "") if state.error else []
            self.counts.changes += len(changes)
        await self._commit(tenant, monitor, after, version, told)
        self.counts.evaluations += 1
        return after

    async def _commit(self, tenant: str, monitor: Monitor, state: State, version: int, told: Sequence[Entry]) -> None:
        now_ns = self._clock.now_ns()
        dated = [msgspec.structs.replace(entry, created_ns=now_ns, next_ns=now_ns) for entry in told]
        await self._documents.edit([Edit(STATE, tenant, monitor.name, version, body(state)), *added(tenant, dated)])
