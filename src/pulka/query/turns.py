"""Whose query runs next: so many at once, of each tenant fewer and within its memory; the waiting ones tenant by tenant, in a circle.

Considered: one queue for all. A tenant that asks ten heavy questions would then stand before everybody else.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from pulka.errors import Temporary
from pulka.seams import Clock

__all__ = ["TurnSettings", "Turns"]

_NEIGHBOUR_S = 60.0


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Queries at once over all tenants and of each; the memory of a tenant's queries together; how many of a tenant wait, and how long."""

    at_once: int = 8
    per_tenant: int = 4
    tenant_memory_bytes: int = 1 << 62
    waiting_max: int = 64
    wait_s: float = 10.0


@dataclass(slots=True, eq=False)
class _Waiting:
    tenant: str
    memory_bytes: int
    admitted: "asyncio.Future[None]"


class Turns:
    """Used from one event loop."""

    def __init__(self, clock: Clock, settings: TurnSettings = TurnSettings()) -> None:
        self._clock, self._settings = clock, settings
        self._running: Counter[str] = Counter()
        self._memory_bytes: Counter[str] = Counter()
        self._waiting: dict[str, deque[_Waiting]] = {}
        """By tenant, in the order of their turns."""
        self._asked_s: dict[str, float] = {}
        """When each tenant asked last, the latest at the end."""

    @property
    def running(self) -> int:
        """Queries that have a turn."""
        return self._running.total()

    @property
    def waiting(self) -> int:
        """Queries that wait for one."""
        return sum(map(len, self._waiting.values()))

    def has_neighbours(self, tenant: str) -> bool:
        """Whether other tenants have asked within the last minute."""
        self._forget()
        return len(self._asked_s) > (tenant in self._asked_s)

    async def take(self, tenant: str, memory_bytes: int) -> Callable[[], None]:
        """Wait for a turn; what this returns gives it back. Temporary when too many wait already, or for too long."""
        self._forget()
        self._asked_s.pop(tenant, None)
        self._asked_s[tenant] = self._clock.monotonic_s()
        memory_bytes = min(memory_bytes, self._settings.tenant_memory_bytes)
        if tenant in self._waiting or not self._fits(tenant, memory_bytes):
            await self._wait(tenant, memory_bytes)
        else:
            self._admit(tenant, memory_bytes)
        return lambda: self._give_back(tenant, memory_bytes)

    async def _wait(self, tenant: str, memory_bytes: int) -> None:
        if (ahead := len(self._waiting.get(tenant, ()))) >= self._settings.waiting_max:
            raise self._refused(tenant, f"{ahead} queries wait already")
        waiting = _Waiting(tenant, memory_bytes, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(tenant, deque()).append(waiting)
        patience = asyncio.ensure_future(self._clock.sleep(self._settings.wait_s))
        try:
            await asyncio.wait({waiting.admitted, patience}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.admitted.done():
                raise self._refused(tenant, f"no turn came within {self._settings.wait_s:g} s")
        except BaseException:
            self._leave(waiting)
            raise
        finally:
            patience.cancel()

    def _leave(self, waiting: _Waiting) -> None:
        """Whoever was admitted in the very moment gives back what it got."""
        if waiting.admitted.done():
            self._give_back(waiting.tenant, waiting.memory_bytes)
            return
        queue = self._waiting[waiting.tenant]
        queue.remove(waiting)
        if not queue:
            del self._waiting[waiting.tenant]
        self._next()

    def _give_back(self, tenant: str, memory_bytes: int) -> None:
        self._running[tenant] -= 1
        self._memory_bytes[tenant] -= memory_bytes
        if not self._running[tenant]:
            del self._running[tenant], self._memory_bytes[tenant]
        self._next()

    def _next(self) -> None:
        while (first := next((queue[0] for queue in self._waiting.values() if self._fits(queue[0].tenant, queue[0].memory_bytes)), None)) is not None:
            queue = self._waiting.pop(first.tenant)
            queue.popleft()
            if queue:
                self._waiting[first.tenant] = queue  # behind all others
            self._admit(first.tenant, first.memory_bytes)
            first.admitted.set_result(None)

    def _fits(self, tenant: str, memory_bytes: int) -> bool:
        limits = self._settings
        has_room = self._memory_bytes[tenant] + memory_bytes <= limits.tenant_memory_bytes
        return self.running < limits.at_once and self._running[tenant] < limits.per_tenant and has_room

    def _admit(self, tenant: str, memory_bytes: int) -> None:
        self._running[tenant] += 1
        self._memory_bytes[tenant] += memory_bytes

    def _forget(self) -> None:
        since_s = self._clock.monotonic_s() - _NEIGHBOUR_S
        while self._asked_s and (oldest := next(iter(self._asked_s.items())))[1] < since_s:
            del self._asked_s[oldest[0]]

    def _refused(self, tenant: str, why: str) -> Temporary:
        own = self._running[tenant]
        return Temporary(
            f"{self.running} queries run, {own} of them yours, and {why}",
            hint="ask again in a moment, ask fewer questions at once, or cancel one: `pulka queries list`; query_concurrency bounds how many run",
            retry_after_s=2.0,
        )
