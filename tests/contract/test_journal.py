"""The journal's contract, over every implementation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pulka.clock import SystemClock
from pulka.errors import Temporary, TooLarge
from pulka.journal.memory import MemoryJournal
from pulka.journal.wal import WalJournal
from pulka.model.ids import partition_of
from pulka.seams import Journal, Position
from pulka.testing.clock import FakeClock

Open = Callable[..., Awaitable[Journal]]


def batch(*values: int, text: str = "x") -> pa.RecordBatch:
    return pa.record_batch({"value": pa.array(values, pa.int64()), "text": pa.array([text] * len(values))})


@pytest.fixture(params=["memory", "wal"])
async def open_journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    opened: list[Journal] = []

    async def open_(**settings: int) -> Journal:
        clock = FakeClock(auto=True)
        journal: Journal = (
            MemoryJournal(clock=clock, **settings)
            if request.param == "memory"
            else await WalJournal.open(tmp_path / "journal", clock=clock, **settings)
        )
        opened.append(journal)
        return journal

    yield open_
    for journal in opened:
        await journal.close()


async def test_records_come_back_in_order_and_whole(open_journal: Open) -> None:
    journal = await open_journal()
    partition = partition_of("acme", journal.partitions)
    for value in range(5):
        position = await journal.append("acme", "logs", batch(value), dedup_key=f"k{value}", ack=b"answer %d" % value)
        assert position == Position(partition, value + 1)
    records = await journal.read(partition, 0, 10)
    assert [record.position.sequence for record in records] == [1, 2, 3, 4, 5]
    assert [record.batch for record in records] == [batch(value) for value in range(5)]
    assert [(record.dedup_key, record.ack) for record in records] == [(f"k{n}", b"answer %d" % n) for n in range(5)]
    assert {(record.tenant, record.table) for record in records} == {("acme", "logs")}
    assert all(record.arrival_ns >= 1_700_000_000_000_000_000 for record in records)


async def test_read_honours_after_and_limit(open_journal: Open) -> None:
    journal = await open_journal(partitions=1)
    for value in range(6):
        await journal.append("t", "logs", batch(value))
    assert [record.position.sequence for record in await journal.read(0, 2, 3)] == [3, 4, 5]
    assert list(await journal.read(0, 6, 3)) == []
    assert list(await journal.read(0, 99, 3)) == []


@pytest.mark.parametrize("key", [None, "", "clé-🔑", "a\x00b"])
@pytest.mark.parametrize("ack", [b"", b"\x00\xff"])
async def test_any_key_and_answer_is_kept(open_journal: Open, key: str | None, ack: bytes) -> None:
    journal = await open_journal(partitions=1)
    await journal.append("t", "logs", batch(1, text="żółw 🐢"), dedup_key=key, ack=ack)
    (record,) = await journal.read(0, 0, 1)
    assert (record.dedup_key, record.ack, record.batch) == (key, ack, batch(1, text="żółw 🐢"))


async def test_tenants_go_to_their_partition(open_journal: Open) -> None:
    journal = await open_journal()
    tenants = [f"tenant-{n}" for n in range(20)]
    positions = await asyncio.gather(*(journal.append(tenant, "logs", batch(1)) for tenant in tenants))
    assert [position.partition for position in positions] == [partition_of(tenant, 4) for tenant in tenants]
    read = [record.tenant for partition in range(4) for record in await journal.read(partition, 0, 100)]
    assert sorted(read) == sorted(tenants)


async def test_wait_returns_when_there_is_something_to_read(open_journal: Open) -> None:
    journal = await open_journal(partitions=1)
    waiting = asyncio.create_task(journal.wait(0, 1))
    await journal.append("t", "logs", batch(1))
    await journal.wait(0, 0)
    assert not waiting.done()
    await journal.append("t", "logs", batch(2))
    await waiting
    assert len(await journal.read(0, 1, 1)) == 1


async def test_close_wakes_who_waits_and_refuses_appends(open_journal: Open) -> None:
    journal = await open_journal(partitions=1)
    waiting = asyncio.create_task(journal.wait(0, 0))
    await asyncio.sleep(0)
    await journal.close()
    with pytest.raises(Temporary):
        await waiting
    with pytest.raises(Temporary):
        await journal.append("t", "logs", batch(1))


async def test_concurrent_appends_all_arrive_once(open_journal: Open) -> None:
    journal = await open_journal(partitions=1)
    positions = await asyncio.gather(*(journal.append("t", "logs", batch(n)) for n in range(200)))
    records = await journal.read(0, 0, 1000)
    assert sorted(position.sequence for position in positions) == list(range(1, 201))
    by_position = {record.position: record.batch["value"][0].as_py() for record in records}
    assert [by_position[position] for position in positions] == list(range(200))


async def test_release_keeps_what_is_not_released(open_journal: Open) -> None:
    journal = await open_journal(partitions=1)
    for value in range(4):
        await journal.append("t", "logs", batch(value))
    await journal.release(0, 2)
    assert [record.position.sequence for record in await journal.read(0, 2, 9)] == [3, 4]
    await journal.release(0, 4)
    assert list(await journal.read(0, 4, 9)) == []
    assert (await journal.append("t", "logs", batch(9))).sequence == 5
    assert [record.position.sequence for record in await journal.read(0, 4, 9)] == [5]


async def test_a_full_journal_pushes_back_until_released(open_journal: Open) -> None:
    journal = await open_journal(partitions=1, bytes_max=200_000)
    body = pa.record_batch({"value": pa.array([(n * 2654435761) % (1 << 62) * 97 for n in range(2000)], pa.int64())})
    last = 0
    with pytest.raises(Temporary, match="full") as refused:
        for _ in range(1000):
            last = (await journal.append("t", "logs", body)).sequence
    assert refused.value.hint and refused.value.retry_after_s > 0
    assert last > 3
    assert len(await journal.read(0, 0, 1000)) == last
    await journal.release(0, last)
    assert (await journal.append("t", "logs", body)).sequence == last + 1


async def test_a_batch_beyond_the_whole_journal_is_too_large(open_journal: Open) -> None:
    journal = await open_journal(partitions=1, bytes_max=10_000)
    with pytest.raises(TooLarge):
        await journal.append("t", "logs", batch(*range(10_000)))
    await journal.append("t", "logs", batch(1))


async def test_a_real_clock_works_too(tmp_path: Path) -> None:
    journal = await WalJournal.open(tmp_path, clock=SystemClock(), commit_delay_ms=1)
    await journal.append("t", "logs", batch(1))
    await journal.close()
    again = await WalJournal.open(tmp_path, clock=SystemClock())
    assert again.recovered.records == 1
    await again.close()
