"""Virtual time and seeded randomness."""

import asyncio
import heapq
import random  # noqa: TID251 - seeded
from itertools import count

__all__ = ["FakeClock", "LoopClock"]

_YIELDS = 10
"""Turns of the event loop given to others before time moves on."""


class FakeClock:
    """See `pulka.seams.Clock`. Time moves by `advance` only; with `auto`, it jumps to the next sleeper's moment by itself.

    `auto` suits code that sleeps to wait for something; a loop that sleeps forever makes time run as fast as it can.
    """

    def __init__(self, seed: int = 0, *, start_ns: int = 1_700_000_000_000_000_000, auto: bool = False) -> None:
        self.random = random.Random(seed)
        self._start_ns = start_ns
        self._elapsed_ns = 0
        self._auto = auto
        self._order = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        """Virtual wall time."""
        return self._start_ns + self._elapsed_ns

    def monotonic_s(self) -> float:
        """Virtual seconds since the clock was made."""
        return self._elapsed_ns / 1e9

    async def sleep(self, seconds: float) -> None:
        """Wait until virtual time has moved on by `seconds`."""
        due_ns = self._elapsed_ns + max(round(seconds * 1e9), 0)
        sleeper = (due_ns, next(self._order), asyncio.get_running_loop().create_future())
        heapq.heappush(self._sleepers, sleeper)
        try:
            await (self._jump(sleeper) if self._auto else sleeper[2])
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move time on, waking each sleeper at its moment and letting it run before the next."""
        end_ns = self._elapsed_ns + round(seconds * 1e9)
        await _yield()
        while self._sleepers and self._sleepers[0][0] <= end_ns:
            due_ns, _, woken = heapq.heappop(self._sleepers)
            self._elapsed_ns = max(self._elapsed_ns, due_ns)
            if not woken.done():
                woken.set_result(None)
            await _yield()
        self._elapsed_ns = end_ns

    async def _jump(self, sleeper: tuple[int, int, asyncio.Future[None]]) -> None:
        await _yield()
        while self._sleepers[0] is not sleeper:  # noqa: ASYNC110 - it polls no clock
            await asyncio.sleep(0)  # noqa: TID251 - gives way, takes no time
        self._elapsed_ns = max(self._elapsed_ns, sleeper[0])


class LoopClock:
    """See `pulka.seams.Clock`: the time of the running loop, for loops whose time is virtual (`pulka.testing.loop`)."""

    def __init__(self, seed: int | str = 0, *, start_ns: int = 1_700_000_000_000_000_000) -> None:
        self.random = random.Random(seed)
        self._start_ns = start_ns

    def now_ns(self) -> int:
        """The loop's time, counted from `start_ns`."""
        return self._start_ns + round(self.monotonic_s() * 1e9)

    def monotonic_s(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait until the loop's time has moved on by `seconds`."""
        await asyncio.sleep(max(seconds, 0.0))  # noqa: TID251 - takes virtual time


async def _yield() -> None:
    for _ in range(_YIELDS):
        await asyncio.sleep(0)  # noqa: TID251 - gives way, takes no time
