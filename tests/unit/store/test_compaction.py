import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pulka.errors import Conflict
from pulka.seams import Fragment, Publication
from pulka.store.compaction import CompactionSettings
from pulka.store.plan import Merge, plan

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


@pytest.mark.parametrize("at", range(1, 20))
async def test_a_crash_between_several_outputs(lake: Any, new_fault: Any, at: int) -> None:
    writer = await filled(lake, 8)
    split = {"locality_rows": 25, "levels_max": 1}
    await asyncio.gather(lake.compactor(new_fault(at), **split).run_once(), return_exceptions=True)
    assert await lake.numbers(writer) == list(range(80))
    await lake.compactor(**split).run_once()
    assert await lake.numbers(writer) == list(range(80))
    assert [(f.level, f.rows) for f in await lake.catalog.fragments()] == [(2, 27), (2, 27), (2, 26)]
    assert list((lake.directory / "spool").iterdir()) == []


async def test_rows_may_be_left_out(lake: Any) -> None:
    """What deletes and retention build on: rows, then all rows, of some inputs."""
    writer = await filled(lake, 8)

    async def odd(_: Fragment, path: Path) -> pa.BooleanArray:
        return pc.equal(pc.bit_wise_and(pq.ParquetFile(path).read(["n"])["n"], 1), 1).combine_chunks()

    (merge,) = plan(await lake.catalog.fragments(), lake.clock.now_ns(), SETTINGS)
    (output,) = (await lake.merger().merge(merge, odd)).outputs
    assert await lake.numbers(writer) == list(range(0, 80, 2))

    async def everything(fragment: Fragment, _: Path) -> pa.BooleanArray:
        return pa.array([True] * fragment.rows)

    done = await lake.merger().merge(Merge.rewrite(output, "nothing stays"), everything)
    assert (done.outputs, await lake.numbers(writer), list(await lake.catalog.fragments())) == ((), [], [])


async def test_closing_stops_a_merge_and_leaves_nothing(lake: Any) -> None:
    await filled(lake, 8)
    before = lake.object_keys()
    compactor = lake.compactor(interval_s=5.0)
    compactor.start()
    while not any((lake.directory / "spool").iterdir()):
        await asyncio.sleep(0)
    await compactor.close()
    assert list((lake.directory / "spool").iterdir()) == []
    assert lake.object_keys() in (before, {f.key for f in await lake.catalog.fragments()} | before)


async def test_merges_rest_in_proportion_to_their_work(lake: Any) -> None:
    compactor = lake.compactor(cpu_share=0.25)
    resting = asyncio.create_task(compactor._rest(2.0))
    await asyncio.sleep(0)
    await lake.clock.advance(5.9)
    await asyncio.sleep(0)
    assert not resting.done()
    await lake.clock.advance(0.2)
    await resting


async def test_what_is_due_and_what_waits_is_told(lake: Any) -> None:
    writer = await filled(lake, 8)
    compactor = lake.compactor(closed_after_s=60.0)
    await compactor._sweep()
    assert compactor.pending == 1
    assert {stage: (entry.merges, entry.fragments) for stage, entry in compactor.backlog().items()} == {"tier": (1, 8)}
    await compactor.run_once()
    assert (compactor.counts.inputs, compactor.counts.outputs, compactor.counts.rows) == (8, 1, 80)
    assert compactor.counts.bytes_read > compactor.counts.bytes_written > 0
    await lake.append(10)
    await lake.settled(writer)
    await writer.flush()
    await compactor._sweep()
    assert (compactor.pending, dict(compactor.backlog())) == (1, {})  # until the window closes
    await lake.clock.advance(61)
    await compactor._look_again()
    assert set(compactor.backlog()) == {"fold"}


async def test_fragments_of_a_failed_merge_rest_until_the_next_sweep(lake: Any) -> None:
    await filled(lake, 16)
    compactor = lake.compactor(inputs_max=8)
    oldest = min(await lake.catalog.fragments(), key=lambda f: f.created_ns)
    good = (lake.directory / "objects" / oldest.key).read_bytes()
    (lake.directory / "objects" / oldest.key).write_bytes(b"damaged")
    assert await compactor.run_once() == 1
    await compactor._look_again()
    assert not compactor.backlog()
    (lake.directory / "objects" / oldest.key).write_bytes(good)
    assert await compactor.run_once() == 1


async def test_after_a_passing_trouble_a_merge_is_tried_again_soon(lake: Any, new_fault: Any) -> None:
    await filled(lake, 8)
    fault = new_fault(1)
    compactor = lake.compactor(fault, retry_s=30.0)
    with patch.object(fault, "step", side_effect=OSError("no space left")):
        assert await compactor.run_once() == 0
    await compactor._look_again()
    assert (compactor.pending, dict(compactor.backlog())) == (1, {})
    await lake.clock.advance(31)
    await compactor._look_again()
    assert set(compactor.backlog()) == {"tier"}


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
