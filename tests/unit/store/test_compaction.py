import asyncio
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from pulka.model.windows import HOUR_NS
from pulka.seams import Fragment, Publication
from pulka.store.compaction import CompactionSettings, Merge, plan

NOW = 1000 * HOUR_NS
SETTINGS = CompactionSettings()
KB, MB = 1 << 10, 1 << 20


def fragment(name: str, size: int, *, hour: int = 1000, created: int = NOW, **changes: Any) -> Fragment:
    start = hour * HOUR_NS
    made = Fragment(name, "t", "logs", f"k/{name}", start, HOUR_NS, start, start, 1, size, 1, 0, created, ())
    return replace(made, **changes)


def several(prefix: str, count: int, size: int, **changes: Any) -> list[Fragment]:
    return [fragment(f"{prefix}{number:03}", size, **changes) for number in range(count)]


def names(merges: list[Merge]) -> list[list[str]]:
    return [[f.id for f in merge.inputs] for merge in merges]


def test_seven_wait_and_eight_merge() -> None:
    assert plan(several("a", 7, 100 * KB), NOW, SETTINGS) == []
    assert names(plan(several("a", 8, 100 * KB), NOW, SETTINGS)) == [[f"a{n:03}" for n in range(8)]]


def test_classes_do_not_mix() -> None:
    mixed = several("small", 7, 100 * KB) + several("large", 7, 100 * MB)
    assert plan(mixed, NOW, SETTINGS) == []
    found = names(plan(mixed + several("more", 1, 120 * MB), NOW, SETTINGS))
    assert [len(inputs) for inputs in found] == [8]


def test_windows_tables_and_tenants_do_not_mix() -> None:
    apart = several("a", 4, KB) + several("b", 4, KB, table="spans") + several("c", 4, KB, tenant="u")
    assert (
        plan(apart + several("d", 4, KB, hour=999) + several("e", 4, KB, window_ns=24 * HOUR_NS), NOW, SETTINGS) == []
    )


def test_the_leading_edge_comes_first() -> None:
    merges = plan(several("old", 8, KB, hour=3) + several("new", 8, KB, hour=1000), NOW, SETTINGS)
    assert [merge.first.window_start_ns // HOUR_NS for merge in merges] == [1000, 3]


def test_a_merge_is_bounded_in_inputs_and_bytes() -> None:
    (merge,) = plan(several("a", 100, KB), NOW, SETTINGS)
    assert len(merge.inputs) == 32
    (merge,) = plan(several("a", 20, 200 * MB), NOW, SETTINGS)
    assert merge.bytes <= SETTINGS.input_bytes_max
    assert len(merge.inputs) == 5


def test_a_closed_window_is_merged_to_the_end() -> None:
    pair = [fragment("a", KB, hour=900, created=900 * HOUR_NS), fragment("b", 30 * MB, hour=900, created=900 * HOUR_NS)]
    assert names(plan(pair, NOW, SETTINGS)) == [["a", "b"]]
    assert plan(pair[:1], NOW, SETTINGS) == []
    assert plan([pair[0], replace(pair[1], created_ns=NOW)], NOW, SETTINGS) == []  # still gets late events
    assert plan([pair[0], replace(pair[1], bytes=100 * MB)], NOW, SETTINGS) == []  # one is large enough


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
    outcomes = await asyncio.gather(lake.compactor().merge(merge), lake.compactor().merge(merge))
    assert sorted(outcome is None for outcome in outcomes) == [False, True]
    assert len(lake.object_keys()) == 9
    assert await lake.numbers(writer) == list(range(80))


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
    wrong = Merge((replace(merge.first, rows=11), *merge.inputs[1:]))
    with pytest.raises(Exception, match="its inputs stay"):
        await lake.compactor().merge(wrong)
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
    compactor = lake.compactor()
    assert await compactor.merge(merge) is None
    assert compactor.counts.conflicts == 1


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
