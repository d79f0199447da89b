import asyncio
from collections.abc import Awaitable, Callable

import pyarrow as pa
import pytest

from pulka.errors import Temporary
from pulka.intake import DedupWindow
from pulka.seams import DedupKey, Publication
from pulka.testing.catalog import MemoryCatalog

HOUR_S = 3600


@pytest.fixture
def window(clock):
    return DedupWindow(clock, HOUR_S, 1 << 20)


def answering(ack: bytes, calls: list[bytes]) -> Callable[[], Awaitable[bytes]]:
    async def attempt() -> bytes:
        calls.append(ack)
        return ack

    return attempt


async def test_a_retry_is_answered_as_the_first_attempt(window):
    calls: list[bytes] = []
    assert await window.once("t", "logs", "k", answering(b"one", calls)) == (b"one", False)
    assert await window.once("t", "logs", "k", answering(b"two", calls)) == (b"one", True)
    assert calls == [b"one"]


async def test_keys_belong_to_a_tenant_and_a_table(window):
    calls: list[bytes] = []
    for tenant, table in (("t", "logs"), ("u", "logs"), ("t", "spans")):
        assert await window.once(tenant, table, "k", answering(b"x", calls)) == (b"x", False)
    assert len(calls) == 3


async def test_keys_expire(window, clock):
    calls: list[bytes] = []
    await window.once("t", "logs", "k", answering(b"one", calls))
    await clock.sleep(HOUR_S - 1)
    assert (await window.once("t", "logs", "k", answering(b"two", calls)))[1]
    await clock.sleep(1)
    assert await window.once("t", "logs", "k", answering(b"two", calls)) == (b"two", False)


async def test_memory_is_bounded_and_the_oldest_go_first(clock):
    window = DedupWindow(clock, HOUR_S, 10_000)
    for number in range(1000):
        await window.once("t", "logs", str(number), answering(b"x" * 100, []))
        assert window.bytes <= 10_000
    assert window.get("t", "logs", "999") is not None
    assert window.get("t", "logs", "0") is None
    await clock.sleep(HOUR_S)
    assert window.get("t", "logs", "999") is None
    assert (len(window), window.bytes) == (0, 0)


async def test_a_retry_waits_for_the_attempt_that_is_under_way(window):
    go = asyncio.Event()
    calls: list[bytes] = []

    async def slow() -> bytes:
        calls.append(b"slow")
        await go.wait()
        return b"slow"

    first = asyncio.create_task(window.once("t", "logs", "k", slow))
    retries = [asyncio.create_task(window.once("t", "logs", "k", answering(b"retry", calls))) for _ in range(5)]
    done, _ = await asyncio.wait({first, *retries}, timeout=0)
    assert not done
    go.set()
    assert await first == (b"slow", False)
    assert await asyncio.gather(*retries) == [(b"slow", True)] * 5
    assert calls == [b"slow"]


async def test_a_failed_attempt_leaves_no_key(window):
    async def fail() -> bytes:
        raise Temporary("full")

    with pytest.raises(Temporary):
        await window.once("t", "logs", "k", fail)
    assert await window.once("t", "logs", "k", answering(b"ok", [])) == (b"ok", False)


async def test_an_attempt_outlives_a_sender_that_hangs_up(window):
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow() -> bytes:
        begun.set()
        await go.wait()
        return b"slow"

    sender = asyncio.create_task(window.once("t", "logs", "k", slow))
    await begun.wait()
    sender.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sender
    go.set()
    assert await window.once("t", "logs", "k", answering(b"again", [])) == (b"slow", True)


async def test_loaded_keys_answer_until_they_expire(window, clock):
    now_ns = clock.now_ns()
    window.load([
        DedupKey("t", "logs", "late", now_ns + 2_000_000_000, b"late"),
        DedupKey("t", "logs", "gone", now_ns - 1, b"gone"),
        DedupKey("t", "logs", "soon", now_ns + 1_000_000_000, b"soon"),
    ])  # fmt: skip
    assert window.get("t", "logs", "gone") is None
    assert window.get("t", "logs", "soon") == b"soon"
    await clock.sleep(1)
    assert window.get("t", "logs", "soon") is None
    assert window.get("t", "logs", "late") == b"late"


async def test_a_key_that_moves_to_the_catalog_during_recovery_is_not_missed(window, clock, journal):
    catalog, batch = MemoryCatalog(), pa.record_batch({"n": [1]})
    position = await journal.append("t", "logs", batch, dedup_key="k", ack=b"first")

    class Publishing:
        """A catalog whose first answer is overtaken by the writer: the record is published, and the journal forgets it."""

        async def dedup(self, since_ns: int) -> list[DedupKey]:
            found = list(await catalog.dedup(since_ns))
            if not found:
                await catalog.publish(Publication(dedup=(DedupKey("t", "logs", "k", clock.now_ns() + 10**9, b"first"),)))
                await journal.release(position.partition, position.sequence)
            return found

    await window.recover(Publishing(), journal)
    assert window.get("t", "logs", "k") == b"first"
