"""Turns: bounded, fair between tenants, and nothing of them is lost however a query leaves."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulka.clock import SystemClock
from pulka.errors import Temporary
from pulka.query.turns import Turns, TurnSettings
from pulka.testing.clock import FakeClock


def turns(**settings):
    return Turns(SystemClock(), TurnSettings(**settings))


async def order_of(own, asked):
    """The tenants in the order in which their queries run, one after the other."""
    ran = []

    async def one(tenant):
        give_back = await own.take(tenant, 1)
        ran.append(tenant)
        await asyncio.sleep(0)
        give_back()

    await asyncio.gather(*map(one, asked))
    return ran


async def test_tenants_take_turns_however_much_one_of_them_asks():
    ran = await order_of(turns(at_once=1), ["noisy"] * 6 + ["b"] * 2 + ["c"])
    assert ran[:6] == ["noisy", "noisy", "b", "c", "noisy", "b"]
    assert sorted(ran) == ["b", "b", "c"] + ["noisy"] * 6


async def test_a_tenant_leaves_room_for_others():
    own = turns(at_once=3, per_tenant=2)
    await own.take("noisy", 1)
    await own.take("noisy", 1)
    waiting = asyncio.ensure_future(own.take("noisy", 1))
    await asyncio.sleep(0)
    give_back = await own.take("quiet", 1)
    assert (own.running, own.waiting) == (3, 1)
    give_back()
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_the_memory_of_a_tenant_is_shared_and_a_query_that_wants_more_runs_alone():
    own = turns(tenant_memory_bytes=10)
    first = await own.take("a", 6)
    second = asyncio.ensure_future(own.take("a", 60))
    await asyncio.sleep(0)
    assert not second.done()
    await own.take("b", 6)
    first()
    (await second)()
    assert own.running == 1


async def test_who_waits_too_long_is_told_what_to_do():
    own = turns(at_once=1, wait_s=0.01)
    await own.take("a", 1)
    with pytest.raises(Temporary, match="1 queries run, 0 of them yours, and no turn came within") as told:
        await own.take("b", 1)
    assert "query_concurrency" in told.value.hint
    assert own.waiting == 0


async def test_no_more_wait_than_may():
    own = turns(at_once=1, waiting_max=1)
    give_back = await own.take("a", 1)
    waiting = asyncio.ensure_future(own.take("b", 1))
    await asyncio.sleep(0)
    with pytest.raises(Temporary, match="1 queries wait already"):
        await own.take("b", 1)
    give_back()
    (await waiting)()
    assert (own.running, own.waiting) == (0, 0)


async def test_where_nobody_may_wait_the_next_turns_still_come():
    own = turns(at_once=1, waiting_max=0)
    give_back = await own.take("a", 1)
    with pytest.raises(Temporary, match="0 queries wait already"):
        await own.take("b", 1)
    give_back()
    (await own.take("b", 1))()
    assert (own.running, own.waiting) == (0, 0)


async def test_neighbours_are_tenants_that_asked_within_a_minute():
    clock = FakeClock()
    own = Turns(clock)
    assert not own.has_neighbours("a")
    await own.take("a", 1)
    assert not own.has_neighbours("a")
    await own.take("b", 1)
    assert own.has_neighbours("a") and own.has_neighbours("b")
    await clock.advance(61)
    assert not own.has_neighbours("a")
    await own.take("c", 1)
    assert own.has_neighbours("a") and not own.has_neighbours("c")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9), st.sampled_from(["take", "leave", "give up"])), max_size=60))
def test_bounds_hold_and_nothing_is_lost(steps):
    async def go():
        own = turns(at_once=3, per_tenant=2, tenant_memory_bytes=12, waiting_max=5)
        tasks, running = [], []
        for tenant, memory, what in steps:
            if what == "take":
                tasks.append((asyncio.ensure_future(own.take(tenant, memory)), tenant, memory))
            elif what == "leave" and running:
                running.pop(memory % len(running))[0]()
            elif what == "give up" and tasks:
                tasks.pop(memory % len(tasks))[0].cancel()
            for _ in range(memory % 3):
                await asyncio.sleep(0)
            for done in [one for one in tasks if one[0].done()]:
                tasks.remove(done)
                if done[0].exception() is None:
                    running.append((done[0].result(), *done[1:]))
            assert own.running <= 3
            for name in "abc":
                own_ones = [memory for _, who, memory in running if who == name]
                assert len(own_ones) <= 2 and sum(own_ones) <= 12
        for give_back, *_ in running:
            give_back()
        for _ in range(100):
            await asyncio.sleep(0)
            for task, *_ in tasks:
                if task.done() and task.exception() is None and not getattr(task, "given", False):
                    tasks.remove((task, *_))
                    task.result()()
                    break
        await asyncio.sleep(0)
        assert (own.running, own.waiting) == (0, 0)

    asyncio.run(go())
