import asyncio
from typing import Any

import pytest

from pulka.errors import Conflict
from pulka.model.windows import HOUR_NS
from pulka.seams import Position, Publication

FAULTS = range(1, 20)


async def test_rows_are_fresh_then_in_fragments(lake: Any) -> None:
    writer = await lake.writer()
    await lake.append(10)
    await lake.settled(writer)
    assert [position for position, _ in writer.fresh("t", "logs")] == [Position(0, 1)]
    assert writer.fresh_fields("t")["logs"]["n"] == {"i64"}
    assert await lake.numbers(writer) == list(range(10))
    await writer.flush()
    assert list(writer.fresh("t", "logs")) == []
    assert dict(writer.fresh_fields("t")) == {}
    assert await lake.numbers(writer) == list(range(10))
    assert writer.buffered_bytes == 0
    assert lake.journal.released[0] == 1


async def test_each_window_has_its_fragment(lake: Any) -> None:
    writer = await lake.writer()
    await lake.append(30, hours=(1, 2, 7))
    await lake.settled(writer)
    await writer.flush()
    found = await lake.catalog.fragments()
    assert [f.window_start_ns // HOUR_NS for f in found] == [1, 2, 7]
    for fragment in found:
        assert (
            fragment.window_start_ns
            <= fragment.min_ns
            <= fragment.max_ns
            < fragment.window_start_ns + fragment.window_ns
        )
    assert found[2].key.startswith("t/logs/19700101T07/")


async def test_age_flushes(lake: Any) -> None:
    writer = await lake.writer(flush_age_s=30.0)
    done = asyncio.Event()
    writer.flushed.append(lambda change: done.set())
    await lake.append(5)
    await lake.settled(writer)
    await lake.clock.advance(29)
    assert not writer._due()
    while not done.is_set():
        await lake.clock.advance(1)
        await asyncio.sleep(0.001)
    assert await lake.numbers(writer) == list(range(5))


async def test_bytes_flush_without_waiting_for_a_tick(lake: Any) -> None:
    writer = await lake.writer(flush_bytes=1)
    done = asyncio.Event()
    writer.flushed.append(lambda change: done.set())
    await lake.append(5)
    await asyncio.wait_for(done.wait(), 20)


async def test_under_pressure_the_largest_goes_first(lake: Any) -> None:
    writer = await lake.writer()
    await lake.append(1000, table="spans")
    await lake.append(10, table="logs")
    await lake.settled(writer)
    object.__setattr__(writer._settings, "buffer_bytes_max", writer.buffered_bytes - 1)
    assert [buffer.table for buffer in writer._due()] == ["spans"]


async def test_past_the_hard_limit_the_journal_is_not_read(lake: Any, new_fault: Any) -> None:
    fault = new_fault()
    writer = await lake.writer(fault, buffer_bytes_hard=1, buffer_bytes_max=1, read_records=1, flush_age_s=1e9)
    fault.at = fault.seen + 1  # the flush that the pressure asks for fails
    for _ in range(5):
        await lake.append(10)
    while not fault.fired:
        await asyncio.sleep(0)
    assert writer._read_upto[0] == 1
    while writer._read_upto[0] < 5:  # it recovers by itself
        await lake.clock.advance(1)
        await asyncio.sleep(0.001)
    await writer.flush()
    assert await lake.numbers(writer) == list(range(50))


async def test_the_journal_keeps_what_any_table_still_needs(lake: Any) -> None:
    writer = await lake.writer(flush_bytes=10_000)
    await lake.append(1, table="spans")
    await lake.append(2000, table="logs")
    while not writer.counts.flushes:
        await asyncio.sleep(0.001)
    await lake.settled(writer)
    assert [f.table for f in await lake.catalog.fragments()] == ["logs"]
    assert lake.journal.released[0] == 0
    await writer.flush()
    assert lake.journal.released[0] == 2


async def test_dedup_keys_travel_with_the_rows(lake: Any) -> None:
    writer = await lake.writer(dedup_window_s=60.0)
    await lake.append(1, dedup_key="k", ack=b"done")
    await lake.append(1)
    await lake.settled(writer)
    await writer.flush()
    (key,) = await lake.catalog.dedup(lake.clock.now_ns())
    assert (key.key, key.ack, key.expires_ns) == ("k", b"done", lake.clock.now_ns() + 60 * 10**9)


async def test_close_flushes(lake: Any) -> None:
    writer = await lake.writer()
    await lake.append(10)
    await lake.settled(writer)
    await writer.close()
    assert sum(f.rows for f in await lake.catalog.fragments()) == 10


async def test_replay_takes_only_what_is_not_published(lake: Any) -> None:
    first = await lake.writer()
    await lake.append(10)
    await lake.settled(first)
    await first.flush()
    lake.journal.released[0] = 0  # the release was lost
    await lake.append(10)
    await lake.kill(first)
    second = await lake.writer()
    assert [position.sequence for position, _ in second.fresh("t", "logs")] == [2]
    assert await lake.numbers(second) == list(range(20))


@pytest.mark.parametrize("at", FAULTS)
async def test_a_failure_at_any_step_then_a_retry(lake: Any, new_fault: Any, at: int) -> None:
    fault = new_fault(at)
    writer = await lake.writer(fault)
    for _ in range(3):
        await lake.append(12, hours=(0, 5))
    await lake.settled(writer)
    try:
        await writer.flush()
    except Exception:
        assert await lake.numbers(writer) == list(range(36))
    fault.at = -1
    await lake.append(4)
    await lake.settled(writer)
    await writer.flush()
    assert await lake.numbers(writer) == list(range(40))
    assert sum(f.rows for f in await lake.catalog.fragments()) == 40
    assert lake.journal.released[0] == 4
    assert list((lake.directory / "spool").iterdir()) == []


@pytest.mark.parametrize("at", FAULTS)
async def test_a_crash_at_any_step_then_a_new_writer(lake: Any, new_fault: Any, at: int) -> None:
    fault = new_fault(at)
    writer = await lake.writer(fault)
    for _ in range(3):
        await lake.append(12, hours=(0, 5))
    await lake.settled(writer)
    await asyncio.gather(writer.flush(), return_exceptions=True)
    await lake.kill(writer)
    (lake.directory / "spool/leftover.parquet").write_bytes(b"half")
    await lake.append(4)
    again = await lake.writer()
    assert await lake.numbers(again) == list(range(40))
    await again.flush()
    assert await lake.numbers(again) == list(range(40))
    assert sum(f.rows for f in await lake.catalog.fragments()) == 40
    assert list((lake.directory / "spool").iterdir()) == []


async def test_the_faults_cover_every_step(lake: Any, new_fault: Any) -> None:
    fault = new_fault(10**9)
    writer = await lake.writer(fault)
    await lake.append(12, hours=(0, 5))
    await lake.settled(writer)
    await writer.flush()
    assert 0 < fault.seen < max(FAULTS)


async def test_two_writers_on_one_journal_publish_every_row_once(lake: Any) -> None:
    zombie, heir = await lake.writer(), await lake.writer()
    await lake.append(10)
    await lake.settled(zombie)
    await lake.settled(heir)
    await heir.flush()
    await lake.append(10)
    await lake.settled(zombie)
    await zombie.flush()
    assert zombie.counts.conflicts == 1
    assert await lake.numbers(zombie) == list(range(20))
    await lake.settled(heir)
    await heir.flush()
    assert await lake.numbers(heir) == list(range(20))
    assert lake.object_keys() == {f.key for f in await lake.catalog.fragments()}  # the loser cleaned up


async def test_a_catalog_that_went_back_is_filled_from_the_journal(lake: Any) -> None:
    writer = await lake.writer()
    await lake.append(10)
    await lake.settled(writer)
    await writer.flush()
    (gone,) = await lake.catalog.fragments()
    await lake.catalog.publish(Publication(retire=(gone.id,), positions={(0, "t", "logs"): (1, 0)}))
    lake.journal.released[0] = 0
    await lake.append(10)
    await lake.settled(writer)
    await writer.flush()
    await lake.settled(writer)
    await writer.flush()
    assert await lake.numbers(writer) == list(range(20))


async def test_a_conflict_nobody_caused_is_an_error_not_a_loop(lake: Any) -> None:
    writer = await lake.writer()
    await lake.append(10)
    await lake.settled(writer)

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(lake.catalog, name)

        async def publish(self, change: Publication) -> None:
            raise Conflict("no")

    writer._catalog = Refusing()  # type: ignore[assignment]
    with pytest.raises(Conflict):
        await writer.flush()
    assert await lake.numbers(writer) == list(range(10))
