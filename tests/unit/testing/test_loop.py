import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from pulka.testing.clock import LoopClock
from pulka.testing.loop import SimulatedLoop, Stuck


def run(work: Coroutine[Any, Any, Any], seed: int = 0, **options: Any) -> Any:
    loop = SimulatedLoop(random.Random(seed), **options)
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def race(count: int = 20) -> list[int]:
    """The order in which threads finish."""
    done: list[int] = []

    async def one(number: int) -> None:
        done.append(await asyncio.to_thread(lambda: number))

    await asyncio.gather(*(one(number) for number in range(count)))
    return done


def test_time_jumps_to_the_next_timer() -> None:
    async def sleep() -> tuple[float, int]:
        clock = LoopClock(start_ns=5)
        await clock.sleep(3600)
        return clock.monotonic_s(), clock.now_ns()

    assert run(sleep()) == (3600.0, 3600 * 10**9 + 5)


def test_the_seed_decides_the_order() -> None:
    orders = [tuple(run(race(), seed)) for seed in range(5)]
    assert len(set(orders)) == 5
    assert orders == [tuple(run(race(), seed)) for seed in range(5)]
    assert all(sorted(order) == list(range(20)) for order in orders)


def test_what_a_thread_raises_arrives() -> None:
    async def fail() -> None:
        await asyncio.to_thread(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        run(fail())


def test_work_nobody_waits_for_any_more_may_be_left_out_or_done_but_not_answered() -> None:
    async def hang_up() -> int:
        begun: list[int] = []
        waits = [asyncio.ensure_future(asyncio.to_thread(begun.append, number)) for number in range(50)]
        await asyncio.sleep(0.001)
        for wait in waits:
            wait.cancel()
        await asyncio.sleep(10)
        return len(begun)

    assert 0 < run(hang_up()) < 50


def test_a_turn_may_end_it_all() -> None:
    class End(BaseException):
        pass

    def end() -> None:
        if loop.turns == 10:
            raise End

    async def forever() -> None:
        while True:
            await asyncio.sleep(1)

    loop = SimulatedLoop(random.Random(0), turn=end)
    task = loop.create_task(forever())
    with pytest.raises(End):
        loop.run_until_complete(task)
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()


def test_waiting_for_ever_is_said() -> None:
    with pytest.raises(Stuck):
        run(asyncio.Event().wait())


def test_looking_on_takes_no_turn() -> None:
    async def both() -> tuple[int, int, int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        before = loop.turns
        return loop.at_once(asyncio.to_thread(lambda: 7)), loop.turns - before, await asyncio.to_thread(lambda: 8)

    assert run(both()) == (7, 0, 8)
