"""The fake clock: time moves only when told, sleepers wake in order."""

import asyncio

from pulka.testing.clock import FakeClock


async def test_advance_wakes_sleepers_at_their_moment_in_order() -> None:
    clock, woken = FakeClock(), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic_s()))

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (3, 1, 2)]
    await clock.advance(2.5)
    assert woken == [(1, 1.0), (2, 2.0)]
    await clock.advance(1)
    assert woken[2:] == [(3, 3.0)]
    assert clock.now_ns() == 1_700_000_003_500_000_000
    await asyncio.gather(*tasks)


async def test_auto_jumps_to_the_earliest_sleeper() -> None:
    clock, order = FakeClock(auto=True), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        order.append((seconds, clock.monotonic_s()))

    await asyncio.gather(sleeper(3600), sleeper(1), sleeper(60))
    assert order == [(1, 1.0), (60, 60.0), (3600, 3600.0)]


def test_the_seed_decides() -> None:
    assert FakeClock(7).random.random() == FakeClock(7).random.random() != FakeClock(8).random.random()
