import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulka.errors import Misconfigured
from pulka.seams import Fragment
from pulka.store.catalog import SqlCatalog
from pulka.store.fragments import FragmentOrigin, PositionRange, coalesce
from pulka.store.merge import origin_of
from pulka.store.plan import Merge
from pulka.store.repair import choose, repair
from pulka.store.split import Window

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


# Merges with several outputs, and windows that fold. On paper: fragments are the rows they hold.

HOURS, KEYS = 3, "abcdef"
DAY = (0, 24 * W)
Row = tuple[int, int, str]
"""Journal record, hour, sort key."""


@dataclass
class History:
    """What happened to one table: every object's footer and rows, which of them are live, which may be deleted."""

    entropy: Random
    objects: dict[str, tuple[FragmentOrigin, Counter[Row]]] = field(default_factory=dict)
    live: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    records: int = 0
    steps: int = 0

    def rows(self, start: int, end: int) -> Counter[Row]:
        """Rows of the records: their number is the key's, so that splitting by key is by chance."""
        return Counter((record, record % HOURS + n % 2, KEYS[(record * 7 + n) % 6]) for record in range(start, end) for n in range(4))

    def name(self) -> str:
        self.steps += 1
        return f"{self.steps:026}"

    def flush(self, length: int, upto: int | None = None) -> None:
        """Publish the next records; with `upto`, crash after so many windows."""
        rows = self.rows(self.records, self.records + length)
        windows = sorted({hour for _, hour, _ in rows})
        for hour in windows[:upto]:
            one = FragmentOrigin(
                self.name(), "t", "logs", hour * W, W, 0, self.steps, (PositionRange(0, self.records, self.records + length),),
                flush=tuple((other * W, W) for other in windows),
            )  # fmt: skip
            self.objects[one.id] = one, Counter({row: n for row, n in rows.items() if row[1] == hour})
            if upto is None:
                self.live.append(one.id)
        if upto is None:
            self.records += length

    def merge(self, inputs: Sequence[str], outputs: int, upto: int | None = None) -> list[str]:
        """Merge live fragments and publish; with `upto`, crash after so many outputs were stored."""
        origins = [self.objects[name][0] for name in inputs]
        windows = {(o.window_start_ns, o.window_ns) for o in origins}
        like = [fragment_like(origin) for origin in origins]
        merge = Merge(tuple(like), Window(*(windows.pop() if len(windows) == 1 else DAY)), 1 + max(o.level for o in origins), outputs)
        total = sum((self.objects[name][1] for name in inputs), Counter())
        cuts = sorted(self.entropy.sample(KEYS[1:], outputs - 1))
        shares = [Counter({row: n for row, n in total.items() if bisect_right(cuts, row[2]) == number}) for number in range(outputs)]
        shares = [share for share in shares if share]
        names = tuple(self.name() for _ in shares)
        common = origin_of(merge, origins, self.steps)
        for name, share in list(zip(names, shares, strict=True))[:upto]:
            footer = replace(common, id=name, outputs=names).metadata()
            self.objects[name] = FragmentOrigin.read(footer), share
        if upto is None:
            self.live = [name for name in self.live if name not in inputs] + list(names)
            self.retired += inputs
        return list(names)

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            self.retired.remove(name)
            del self.objects[name]

    def check(self) -> None:
        kept, positions = choose([origin for origin, _ in self.objects.values()])
        found = sum((self.objects[origin.id][1] for origin in kept), Counter())
        reached = positions.get((0, "t", "logs"), 0)
        assert reached >= self.records
        assert found == self.rows(0, reached), (found - self.rows(0, reached), self.rows(0, reached) - found)


def fragment_like(origin: FragmentOrigin) -> Fragment:
    return Fragment(origin.id, "t", "logs", "", origin.window_start_ns, origin.window_ns, 0, 0, 1, 1, 1, origin.level, 1, ())


def history(*lengths: int) -> History:
    made = History(Random(1))
    for length in lengths:
        made.flush(length)
    return made


def hour(made: History, number: int) -> list[str]:
    return [name for name in made.live if made.objects[name][0].window_start_ns == number * W]


def test_all_outputs_of_a_merge_or_all_its_inputs() -> None:
    for stored in (None, 1, 2):
        made = history(6, 6, 6)
        made.merge(hour(made, 1), 3, upto=stored)
        made.check()
        made.delete(list(made.retired))
        made.check()


def test_an_output_that_was_merged_on_keeps_its_siblings() -> None:
    made = history(6, 6, 6, 6)
    names = hour(made, 1)
    first, second = made.merge(names[:2], 2), made.merge(names[2:], 2)
    third = made.merge([first[0], second[0]], 1)
    made.check()
    made.delete(list(made.retired))
    made.check()  # the footers of the first two merges are told by the siblings that are left
    made.flush(6)
    made.merge([*third, hour(made, 1)[-1]], 2)
    made.delete(list(made.retired))
    made.check()  # and here by nobody but the paths of their descendants


def test_what_was_never_published_is_left_out_even_when_its_inputs_are_long_gone() -> None:
    made = history(6, 6, 6, 6)
    names = hour(made, 1)
    made.merge(names[1:3], 2, upto=1)  # crashed between two outputs
    made.merge(names[1:3], 2, upto=2)  # lost the race, and crashed before it could clean up
    first, second = made.merge(names[:2], 2), made.merge(names[2:], 2)
    for deleted in ([names[1]], [names[2]], [names[0]], [names[3]]):
        made.delete(deleted)
        made.check()
    made.merge([first[0], second[0]], 2)
    made.delete(list(made.retired))
    made.check()


def test_three_that_raced_for_three_inputs() -> None:
    made = history(6, 6, 6)
    one, two, three = hour(made, 1)
    made.merge([two, three], 1, upto=1)
    made.merge([three, one], 1, upto=1)
    made.merge([one, two], 1)
    made.delete([one, two])
    made.check()


def test_windows_that_folded_are_told_apart_by_where_their_rows_come_from() -> None:
    made = history(6, 6)
    made.merge(hour(made, 0) + hour(made, 2), 1)
    made.check()
    made.delete(list(made.retired))
    made.check()
    made.flush(6)  # late rows, into an hour that is folded already
    made.merge([name for name in made.live if made.objects[name][0].window_ns == W][:3], 2)
    made.delete(list(made.retired))
    made.check()


def test_a_sibling_that_retention_took_does_not_take_the_others_along() -> None:
    made = history(6, 6)
    gone, *rest = made.merge(hour(made, 1), 3)
    made.delete(list(made.retired))
    del made.objects[gone]
    kept, _ = choose([origin for origin, _ in made.objects.values()])
    assert {origin.id for origin in kept} == set(made.live) - {gone}
    assert set(rest) <= {origin.id for origin in kept}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 25))
def test_any_history_is_told_by_its_footers(seed: int, steps: int) -> None:
    """Flushes, merges, folds, crashes at any step, lost races and deletions, in any order."""
    made = history(3)
    made.entropy = entropy = Random(seed)
    for _ in range(steps):
        crash = entropy.choice([None, None, None, 1, 2, 3])
        action = entropy.random()
        if action < 0.3:
            made.flush(entropy.randint(1, 6), crash)
        elif action < 0.8 and made.live:
            inputs = entropy.sample(made.live, min(len(made.live), entropy.randint(1, 4)))
            made.merge(inputs, entropy.randint(1, 3), crash)
        else:
            made.delete(entropy.sample(made.retired, entropy.randint(0, len(made.retired))))
    made.check()


async def rebuilt(lake: Any) -> Any:
    path = lake.directory / f"again{len(list(lake.directory.glob('again*.db')))}.db"
    catalog = await SqlCatalog.open(f"sqlite:///{path}", lake.clock)
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


SPLITTING = {"class_base_rows": 4, "fragments_per_class": 4, "locality_rows": 15, "inputs_max": 8, "overlap_min": 1.0, "retired_grace_s": 1.0}


@pytest.mark.parametrize("fold_bytes", [0, 1 << 30])
@pytest.mark.parametrize("at", range(1, 20))
async def test_a_crash_in_a_merge_with_several_outputs_then_a_lost_catalog(lake: Any, new_fault: Any, at: int, fold_bytes: int) -> None:
    """Windows that fold into a day, and levels that split: the catalog is lost after the crash, and again after what followed."""
    writer = await flushed(lake, 6, hours=(0, 5, 7))
    await lake.clock.advance(1000)
    options = {**SPLITTING, "fold_bytes": fold_bytes}
    fault = new_fault(at)
    await asyncio.gather(lake.compactor(fault, **options).run_once(), return_exceptions=True)
    await lake.append(10, hours=(0, 5))
    await lake.kill(writer)
    lake.journal.released[0] = 0
    await rebuilt(lake)
    writer = await lake.writer()
    assert await lake.numbers(writer) == list(range(70))
    await writer.flush()
    await lake.clock.advance(1000)
    compactor = lake.compactor(**options)
    while await compactor.run_once():
        await lake.clock.advance(1000)
    assert len({f.window_ns for f in await lake.catalog.fragments()}) == 1
    assert await lake.numbers(writer) == list(range(70))
    await lake.kill(writer)
    lake.journal.released[0] = 0
    await rebuilt(lake)
    assert await lake.numbers(await lake.writer()) == list(range(70))


async def test_a_catalog_in_use_is_not_touched(lake: Any) -> None:
    await flushed(lake, 1)
    with pytest.raises(Misconfigured):
        await repair(lake.catalog, lake.store, lake.objects())
