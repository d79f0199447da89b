"""All of monitors in one hand, for the surfaces: definitions, trials, and the runner behind them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from pulka.errors import Temporary
from pulka.intake.ingest import Intake
from pulka.monitors.ask import Asker
from pulka.monitors.definition import Monitor
from pulka.monitors.definitions import Definitions
from pulka.monitors.evaluate import State, step
from pulka.monitors.outbox import Outbox, Send, added
from pulka.monitors.runner import Runner
from pulka.monitors.telling import HISTORY_TABLE, Entry, trial
from pulka.seams import Clock, Documents

__all__ = ["Monitors", "Trial", "history_into"]


def history_into(intake: Intake) -> Send:
    """Sends history to the tenant's own table; a repetition is stored once."""

    async def send(tenant: str, entry: Entry) -> None:
        await intake.json(tenant, HISTORY_TABLE, entry.body.encode(), idempotency_key=entry.id)

    return send


@dataclass(frozen=True, slots=True)
class Trial:
    """What an evaluation would give now: per group, the state it would have."""

    moment_ns: int
    state: State


@dataclass(slots=True)
class Monitors:
    """What the surfaces stand on."""

    definitions: Definitions
    asker: Asker
    runner: Runner
    outbox: Outbox
    documents: Documents
    clock: Clock
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def put(self, tenant: str, wanted: Monitor) -> Monitor:
        """Make or replace a monitor, if its question can be asked."""
        return await self.definitions.put_monitor(tenant, wanted, self.attempt)

    async def attempt(self, tenant: str, monitor: Monitor) -> Trial:
        """Evaluate the window that ends now, as if for the first time and without `times`; nothing is kept."""
        now_ns = self.clock.now_ns()
        answer = await self.asker.answer(tenant, monitor, now_ns)
        once = msgspec.structs.replace(monitor, times=1)
        state, _ = step(once, State(monitor.id), now_ns, answer, self.definitions.limits.groups_max)
        return Trial(now_ns, state)

    async def notify(self, tenant: str, name: str) -> int:
        """Send a test to everyone who is told; how many that are."""
        monitor, _ = await self.definitions.monitor(tenant, name)
        entries = trial(tenant, monitor, self.clock.now_ns())
        await self.documents.edit(added(tenant, entries))
        return len(entries)

    async def close(self) -> None:
        """Stop the runner, then what it sends by."""
        await self.runner.close()
        for close in self.closers:
            try:
                await close()
            except Temporary:
                continue
