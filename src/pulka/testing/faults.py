"""What goes wrong, how often: a seeded policy, and a stand-in that lets any object's async methods suffer from it."""

import asyncio
import inspect
import random  # noqa: TID251 - the type only
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pulka.errors import Temporary
from pulka.seams import Clock

__all__ = ["Faults", "Flaky"]

_Out = TypeVar("_Out")


class Faults:
    """`rates` maps what may go wrong to its probability per call, for instance `put.lost`; what is absent never happens.

    `struck` counts what did. After `stop`, nothing goes wrong. After `kill`, calls hang for ever: to its own process a
    killed one looks the same, and the rest of the world goes on.
    """

    def __init__(self, chance: random.Random, clock: Clock, rates: Mapping[str, float]) -> None:
        self.struck: Counter[str] = Counter()
        self._chance = chance
        self._clock = clock
        self._rates = dict(rates)
        self._killed = False
        self._hanging: list[asyncio.Future[None]] = []

    def stop(self) -> None:
        """From now on all is well."""
        self._rates = {}

    def kill(self) -> None:
        """From now on nothing returns."""
        self._killed = True

    def strikes(self, what: str) -> bool:
        """Whether `what` goes wrong this time."""
        rate = self._rates.get(what, 0.0)
        struck = rate > 0 and self._chance.random() < rate
        self.struck[what] += struck
        return struck

    def part(self, whole: int) -> int:
        """Some number from 0 up to but without `whole`."""
        return self._chance.randrange(max(whole, 1))

    def later_s(self, most_s: float) -> float:
        """Some moment within `most_s`."""
        return self._chance.uniform(0, most_s)

    async def pause(self, name: str) -> None:
        """The way there or back: some turns of the loop, or seconds when `name.slow` strikes; for ever once killed."""
        for _ in range(self.part(3)):
            await self._clock.sleep(0)
        if self.strikes(f"{name}.slow"):
            await self._clock.sleep(self.later_s(3.0))
        if self._killed:
            # Held, because a task that only waits would be collected as garbage, and cleaning up is what a killed process does not do.
            self._hanging.append(asyncio.get_running_loop().create_future())
            await self._hanging[-1]

    async def around(self, name: str, act: Callable[[], Awaitable[_Out]]) -> _Out:
        """`act`, which may be slow, fail before anything happened (`name.fails`), or happen and seem to fail (`name.lost`)."""
        await self.pause(name)
        if self.strikes(f"{name}.fails"):
            raise Temporary(f"{name} failed, as the test wants")
        result = await act()
        await self.pause(name)
        if self.strikes(f"{name}.lost"):
            raise Temporary(f"the answer of {name} was lost, as the test wants")
        return result


class Flaky:
    """Any object; each async method goes through `Faults.around` under the name `<prefix>.<method>`."""

    def __init__(self, inner: Any, faults: Faults, prefix: str) -> None:
        self._inner = inner
        self._faults = faults
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **options: Any) -> Any:
            return await self._faults.around(f"{self._prefix}.{name}", lambda: method(*args, **options))

        return call
