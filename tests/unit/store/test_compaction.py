import asyncio
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from pulka.errors import Conflict
from pulka.seams import Publication
from pulka.store.compaction import CompactionSettings
from pulka.store.plan import plan

SETTINGS = CompactionSettings()


async def filled(lake: Any, count: int) -> Any:
    writer = await lake.writer()
    for _ in range(count):
        await lake.append(10)
        await lake.settled(writer)
        await writer.flush()
    return writer


async def test_merging_keeps_every_row_and_swaps(lake: Any) -> None:
    writer = await filled(lake, 8)
    assert await lake.compactor().run_once() == 1
    (merged,) = await lake.catalog.fragments()
    assert (merged.rows, merged.level) == (80, 1)
    assert await lake.numbers(writer) == list(range(80))
    footer = pq.ParquetFile(lake.directory / "objects" / merged.key).metadata.metadata
    assert footer[b"pulka.positions"] == b"[[0,0,8]]"


async def test_objects_of_inputs_go_after_the_grace(lake: Any) -> None:
    writer = await filled(lake, 8)
    compactor = lake.compactor(retired_grace_s=300.0)
    await compactor.run_once()
    assert len(lake.object_keys()) == 9
    await lake.clock.advance(301)
    assert await compactor.collect() == 8
    assert lake.object_keys() == {f.key for f in await lake.catalog.fragments()}
    assert list(await lake.catalog.retired(2**62)) == []
    assert await lake.numbers(writer) == list(range(80))


async def test_collecting_what_is_gone_already(lake: Any) -> None:
    await filled(lake, 8)
    compactor = lake.compactor(retired_grace_s=0.0)
    await compactor.run_once()
    await lake.clock.advance(1)
    for key in await lake.catalog.retired(2**62):
        (lake.directory / "objects" / key).unlink()
    assert await compactor.collect() == 8


async def test_of_two_compactors_one_wins_and_the_other_cleans_up(lake: Any) -> None:
    writer = await filled(lake, 8)
    (merge,) = plan(await lake.catalog.fragments(), lake.clock.now_ns(), SETTINGS)
    outcomes = await asyncio.gather(*(lake.merger().merge(merge) for _ in range(2)), return_exceptions=True)
    assert sorted(isinstance(outcome, Conflict) for outcome in outcomes) == [False, True]
    assert len(lake.object_keys()) == 9
    assert await lake.numbers(writer) == list(range(80))


# A merge with one output puts, heads and publishes: each may fail before it acts or after.
@pytest.mark.parametrize("at", range(1, 10))
async def test_a_crash_at_any_step_loses_and_doubles_nothing(lake: Any, new_fault: Any, at: int) -> None:
    writer = await filled(lake, 8)
    fault = new_fault(at)
    await asyncio.gather(lake.compactor(fault).run_once(), return_exceptions=True)
    assert await lake.numbers(writer) == list(range(80))
    await lake.compactor().run_once()
    assert await lake.numbers(writer) == list(range(80))
    assert len(await lake.catalog.fragments()) == 1
    assert list((lake.directory / "spool").iterdir()) == []


async def test_a_merge_that_loses_rows_is_not_published(lake: Any) -> None:
    await filled(lake, 8)
    (merge,) = plan(await lake.catalog.fragments(), lake.clock.now_ns(), SETTINGS)
    wrong = replace(merge, inputs=(replace(merge.first, rows=11), *merge.inputs[1:]))
    with pytest.raises(Exception, match="its inputs stay"):
        await lake.merger().merge(wrong)
    assert len(await lake.catalog.fragments()) == 8
    assert len(lake.object_keys()) == 8


async def test_the_background_task_hears_of_publications(lake: Any) -> None:
    compactor = lake.compactor(interval_s=5.0, sweep_s=1e9)
    compactor.start()
    writer = await lake.writer()
    writer.flushed.append(compactor.published)
    for _ in range(8):
        await lake.append(10)
        await lake.settled(writer)
        await writer.flush()
    while compactor.counts.merges == 0:
        await lake.clock.advance(1)
        await asyncio.sleep(0.001)
    await compactor.close()
    assert await lake.numbers(writer) == list(range(80))


async def test_the_background_task_collects_once_per_grace(lake: Any) -> None:
    await filled(lake, 8)
    compactor = lake.compactor(interval_s=5.0, sweep_s=1e9, retired_grace_s=60.0)
    compactor.start()
    for _ in range(200):
        await lake.clock.advance(1)
        await asyncio.sleep(0.001)
    await compactor.close()
    assert compactor.counts.collected == 8
    assert lake.object_keys() == {f.key for f in await lake.catalog.fragments()}


async def test_retiring_elsewhere_makes_a_merge_a_conflict(lake: Any) -> None:
    await filled(lake, 8)
    found = await lake.catalog.fragments()
    (merge,) = plan(found, lake.clock.now_ns(), SETTINGS)
    await lake.catalog.publish(Publication(retire=(found[0].id,)))
    before = lake.object_keys()
    with pytest.raises(Conflict):
        await lake.merger().merge(merge)
    assert lake.object_keys() == before


async def test_a_window_that_cannot_be_merged_does_not_stop_the_others(lake: Any) -> None:
    writer = await lake.writer()
    for _ in range(8):
        await lake.append(10, hours=(0, 5))
        await lake.settled(writer)
        await writer.flush()
    newest = max(await lake.catalog.fragments(), key=lambda f: f.window_start_ns)
    (lake.directory / "objects" / newest.key).write_bytes(b"damaged")
    compactor = lake.compactor()
    assert await compactor.run_once() == 1
    assert compactor.counts.failures == 1
    assert len(await lake.catalog.fragments()) == 9
