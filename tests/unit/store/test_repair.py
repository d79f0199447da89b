from typing import Any

import pytest

from pulka.errors import Misconfigured
from pulka.store.catalog import SqlCatalog
from pulka.store.fragments import FragmentOrigin, PositionRange, coalesce
from pulka.store.repair import choose, repair

W = 3_600_000_000_000


def origin(
    name: str, *ranges: tuple[int, int], window: int = 0, flush: tuple[int, ...] = (), inputs: str = ""
) -> FragmentOrigin:
    return FragmentOrigin(
        name, "t", "logs", window * W, W, level=1 if inputs else 0, created_ns=1,
        positions=tuple(PositionRange(0, *r) for r in ranges), inputs=tuple(inputs),
        flush=tuple((other * W, W) for other in flush or (window,)) if not inputs else (),
    )  # fmt: skip


def chosen(*origins: FragmentOrigin) -> tuple[set[str], int]:
    kept, positions = choose(origins)
    return {one.id for one in kept}, positions.get((0, "t", "logs"), 0)


def test_ranges_coalesce() -> None:
    parts = [PositionRange(0, 4, 9), PositionRange(1, 0, 2), PositionRange(0, 0, 4), PositionRange(0, 12, 13)]
    assert coalesce(parts) == ((0, 0, 9), (0, 12, 13), (1, 0, 2))


def test_footers_round_trip() -> None:
    one = origin("a", (0, 4), (9, 12), flush=(0, 3))
    assert FragmentOrigin.read(one.metadata()) == one
    merged = origin("m", (0, 4), inputs="ab")
    assert FragmentOrigin.read(merged.metadata()) == merged


def test_flushes_follow_each_other() -> None:
    assert chosen(origin("a", (0, 4)), origin("b", (4, 9))) == ({"a", "b"}, 9)


def test_inputs_whose_output_is_needed_are_left_out() -> None:
    merged = origin("m", (0, 9), inputs="ab")
    assert chosen(merged, origin("b", (4, 9))) == ({"m"}, 9)


def test_an_output_beside_all_its_inputs_is_taken_or_they_are() -> None:
    assert chosen(origin("m", (0, 9), inputs="ab"), origin("a", (0, 4)), origin("b", (4, 9))) in (
        ({"m"}, 9),
        ({"a", "b"}, 9),
    )


def test_a_flush_that_stopped_half_way_is_left_out() -> None:
    whole = (origin("a", (0, 4), flush=(0, 1)), origin("b", (0, 4), window=1, flush=(0, 1)))
    assert chosen(*whole, origin("c", (4, 9), flush=(0, 1))) == ({"a", "b"}, 4)


def test_a_window_taken_by_retention_does_not_take_its_flush_along() -> None:
    assert chosen(origin("b", (0, 4), window=1, flush=(0, 1)), origin("c", (4, 9), window=1)) == ({"b", "c"}, 9)


def test_of_twin_flushes_one_counts() -> None:
    kept, reached = chosen(origin("a", (0, 4)), origin("twin", (0, 4)))
    assert (len(kept), reached) == (1, 4)
    assert chosen(origin("long", (0, 6)), origin("a", (0, 4)), origin("b", (4, 9))) == ({"a", "b"}, 9)


def test_a_twin_that_reaches_beyond_merged_records_is_left_out() -> None:
    merged = origin("m", (0, 9), inputs="ab")
    assert chosen(merged, origin("twin", (4, 12)), origin("c", (9, 11))) == ({"m", "c"}, 11)


def shared(name: str, end: int, here: tuple[int, int], *flush: tuple[int, int], start: int = 0) -> FragmentOrigin:
    """One window of a flush some of whose hours share a day; windows are (hour, hours)."""
    windows = tuple((hour * W, hours * W) for hour, hours in flush)
    return FragmentOrigin(name, "t", "logs", here[0] * W, here[1] * W, 0, 1, (PositionRange(0, start, end),), (), windows)


def test_of_twins_whose_hours_share_other_windows_one_counts() -> None:
    first = ((0, 24), (30, 1))
    second = ((3, 1), (24, 24))
    unfinished = shared("u", 4, first[0], *first)
    whole = [shared("a", 9, second[0], *second), shared("b", 9, second[1], *second)]
    assert chosen(unfinished, *whole) == ({"a", "b"}, 9)
    both = [unfinished, shared("v", 4, first[1], *first)]
    assert chosen(*both, *whole) == ({"a", "b"}, 9)  # reaching farther, or else the journal would be needed
    assert chosen(*both, *whole, origin("next", (4, 12), window=30)) == ({"u", "v", "next"}, 12)  # 4 was published, so not 9


def test_a_merge_tells_which_of_such_twins_was_published() -> None:
    merged = FragmentOrigin("m", "t", "logs", 0, 24 * W, 1, 1, (PositionRange(0, 0, 9),), ("a", "b"))
    sibling = shared("s", 9, (24, 24), (0, 24), (24, 24))
    twin = [shared("x", 7, (3, 1), (3, 1), (24, 24)), shared("y", 7, (24, 24), (3, 1), (24, 24))]
    assert chosen(merged, sibling, *twin) == ({"m", "s"}, 9)


async def rebuilt(lake: Any) -> Any:
    catalog = await SqlCatalog.open(f"sqlite:///{lake.directory}/again.db", lake.clock)
    report = await repair(catalog, lake.store, lake.objects())
    await lake.catalog.close()
    lake.catalog = catalog
    return report


async def flushed(lake: Any, count: int, **options: Any) -> Any:
    writer = await lake.writer()
    for _ in range(count):
        await lake.append(10, **options)
        await lake.settled(writer)
        await writer.flush()
    return writer


async def test_a_lost_catalog_comes_back_equal(lake: Any) -> None:
    await flushed(lake, 3, hours=(0, 4))
    before = await lake.catalog.fragments()
    report = await rebuilt(lake)
    assert await lake.catalog.fragments() == before
    assert dict(await lake.catalog.positions(0)) == {("t", "logs"): 3}
    assert (len(report.kept), report.left_out, report.unreadable) == (6, (), ())


async def test_a_replay_after_repair_doubles_nothing(lake: Any) -> None:
    writer = await flushed(lake, 9, hours=(0, 4))
    await lake.compactor().run_once()
    await lake.append(10)
    await lake.kill(writer)
    lake.journal.released[0] = 0
    await rebuilt(lake)
    writer = await lake.writer()
    assert await lake.numbers(writer) == list(range(100))
    await writer.flush()
    assert await lake.numbers(writer) == list(range(100))


@pytest.mark.parametrize("at", range(1, 14))
async def test_a_crash_then_a_lost_catalog(lake: Any, new_fault: Any, at: int) -> None:
    fault = new_fault(at)
    writer = await lake.writer(fault)
    for _ in range(2):
        await lake.append(10, hours=(0, 5))
        await lake.settled(writer)
        try:
            await writer.flush()
        except Exception:
            break
    await lake.append(10)
    await lake.kill(writer)
    lake.journal.released[0] = 0
    await rebuilt(lake)
    writer = await lake.writer()
    assert await lake.numbers(writer) == list(range(lake.written))
    await writer.flush()
    assert await lake.numbers(writer) == list(range(lake.written))


async def test_a_catalog_in_use_is_not_touched(lake: Any) -> None:
    await flushed(lake, 1)
    with pytest.raises(Misconfigured):
        await repair(lake.catalog, lake.store, lake.objects())
