"""The real clock and randomness: the only file that may read time or entropy (a linter rule forbids it elsewhere)."""

import asyncio
import random
import time

__all__ = ["SystemClock"]


class SystemClock:
    """Wall time, monotonic time, sleep and a random source of this machine; see `pulka.seams.Clock`."""

    def __init__(self, seed: int | None = None) -> None:
        self.random = random.Random(seed) if seed is not None else random.Random()

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait at least `seconds`."""
        await asyncio.sleep(seconds)
