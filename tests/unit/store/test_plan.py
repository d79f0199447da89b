"""The planner alone: fragments are counts of rows per service, and merges are done on paper."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulka.model.fields import Column
from pulka.model.windows import HOUR_NS
from pulka.seams import ColumnStats, Fragment
from pulka.store.keys import key_range
from pulka.store.plan import DAY_NS, CompactionSettings, Merge, next_close_ns, plan, span_of
from pulka.store.turns import Turns, in_turn

DAY = 40  # hours are counted from here
HOURS_NOW = DAY * 24 + 10
NOW = HOURS_NOW * HOUR_NS + HOUR_NS // 2
SETTINGS = CompactionSettings()
KB, MB = 1 << 10, 1 << 20
KEYS = "abcdefghijklmnop"


def fragment(name: str, rows: int = 100, *, hour: int = 10, created: int = NOW, keys: str = "", **changes: Any) -> Fragment:
    """Rows in an hour of the day that is now; `keys` are the first and the last service."""
    start = (DAY * 24 + hour) * HOUR_NS
    service = (ColumnStats(Column("service", "service", "str"), 0, keys[0], keys[-1]),) if keys else ()
    made = Fragment(name, "t", "logs", f"k/{name}", start, HOUR_NS, start, start, rows, rows * 40, rows * 400, 0, created, service)
    return replace(made, **changes)


def several(prefix: str, number: int, rows: int = 100, **changes: Any) -> list[Fragment]:
    return [fragment(f"{prefix}{n:03}", rows, **changes) for n in range(number)]


def names(merges: Iterable[Merge]) -> list[list[str]]:
    return [[f.id for f in merge.inputs] for merge in merges]


# Size tiers


def test_seven_wait_and_eight_merge() -> None:
    assert plan(several("a", 7), NOW, SETTINGS) == []
    (merge,) = plan(several("a", 8), NOW, SETTINGS)
    assert names([merge]) == [[f"a{n:03}" for n in range(8)]]
    assert (merge.stage, merge.level, merge.outputs, merge.output_rows) == ("tier", 1, 1, 0)


def test_size_classes_do_not_mix() -> None:
    mixed = several("small", 7) + several("large", 7, 100_000)
    assert plan(mixed, NOW, SETTINGS) == []
    assert [len(inputs) for inputs in names(plan(mixed + several("more", 1, 120_000), NOW, SETTINGS))] == [8]


def test_windows_tables_and_tenants_do_not_mix() -> None:
    apart = several("a", 4) + several("b", 4, table="spans") + several("c", 4, tenant="u")
    assert plan(apart + several("d", 4, hour=9, created=NOW) + several("e", 4, window_ns=DAY_NS), NOW, SETTINGS) == []


def test_the_leading_edge_comes_first_and_then_the_most_small_fragments() -> None:
    merges = plan([*several("old", 8, hour=3, bytes=2 * MB), *several("new", 8), *several("many", 20, 50_000)], NOW, SETTINGS)
    assert [inputs[0] for inputs in names(merges)] == ["many000", "new000", "old000"]


def test_a_merge_is_bounded_in_inputs_and_bytes() -> None:
    assert sorted(len(inputs) for inputs in names(plan(several("a", 72), NOW, SETTINGS))) == [8, 32, 32]
    few = replace(SETTINGS, input_bytes_max=900 * KB, fragments_per_class=3)
    assert {len(inputs) for inputs in names(plan(several("a", 12, bytes=300 * KB), NOW, few))} == {3}


def test_one_large_fragment_is_not_rewritten_for_the_sake_of_small_ones() -> None:
    assert plan([*several("a", 7, 1), fragment("large", 4000)], NOW, SETTINGS) == []
    assert names(plan([*several("a", 8, 1), fragment("large", 4000)], NOW, SETTINGS)) == [[f"a{n:03}" for n in range(8)]]


def test_a_tier_that_outgrows_the_first_level_is_split_at_once() -> None:
    (merge,) = plan(several("a", 8, 300_000, keys="az"), NOW, SETTINGS)
    assert (merge.level, merge.outputs, merge.output_rows) == (2, 2, 1_200_000)
    (merge,) = plan(several("a", 8, 300_000, keys="az", bytes=40 * MB), NOW, SETTINGS)
    assert merge.outputs == 5  # wide rows: by bytes


# Closed windows


def old(name: str, rows: int, **changes: Any) -> Fragment:
    return fragment(name, rows, hour=3, created=NOW - 5 * HOUR_NS, bytes=changes.pop("bytes", 9 * MB), **changes)


def test_a_closed_window_is_merged_to_the_end() -> None:
    pair = [old("a", 70_000), old("b", 100_000)]
    assert [(m.stage, names([m])) for m in plan(pair, NOW, SETTINGS)] == [("closing", [["a", "b"]])]
    assert plan(pair[:1], NOW, SETTINGS) == []
    assert plan([pair[0], replace(pair[1], created_ns=NOW)], NOW, SETTINGS) == []  # still gets late events
    assert plan([pair[0], replace(pair[1], rows=900_000)], NOW, SETTINGS) == []  # does not pay


def test_the_next_window_to_close_is_known() -> None:
    late = int(SETTINGS.closed_after_s * 1e9)
    assert next_close_ns([fragment("a")], NOW, SETTINGS) == (HOURS_NOW + 1) * HOUR_NS + late
    assert next_close_ns([old("a", 1)], NOW, SETTINGS) == (DAY + 1) * DAY_NS + late
    assert next_close_ns([replace(old("a", 1), window_ns=DAY_NS, window_start_ns=0)], NOW, SETTINGS) is None


# Folding


def quiet(hour: int, number: int = 1, **changes: Any) -> list[Fragment]:
    return several(f"h{hour}-", number, hour=hour, created=(DAY * 24 + hour) * HOUR_NS, **changes)


def test_small_closed_windows_fold_into_their_day() -> None:
    assert plan([f for hour in range(7) for f in quiet(hour)], NOW, SETTINGS) == []
    (merge,) = plan([f for hour in range(8) for f in quiet(hour)], NOW, SETTINGS)
    assert (merge.stage, merge.window, len(merge.inputs)) == ("fold", (DAY * DAY_NS, DAY_NS), 8)
    assert plan([f for hour in range(8) for f in quiet(hour, bytes=10 * MB)], NOW, SETTINGS) == []


def test_an_open_window_never_folds() -> None:
    hours = [f for hour in range(7) for f in quiet(hour)]
    assert plan([*hours, *several("now", 7)], NOW, SETTINGS) == []
    assert plan([*hours, *several("late", 2, hour=7, created=NOW)], NOW, SETTINGS) == []


def test_the_rest_of_a_day_folds_when_it_is_over() -> None:
    tomorrow = NOW + DAY_NS
    assert names(plan(quiet(3) + quiet(9), tomorrow, SETTINGS)) == [["h3-000", "h9-000"]]
    assert plan(quiet(3), tomorrow, SETTINGS) == []
    assert plan(quiet(3) + quiet(30), tomorrow + DAY_NS, SETTINGS) == []  # of different days


def test_days_and_longer_windows_do_not_fold_further() -> None:
    long_ago = several("d", 2, created=0, window_ns=DAY_NS, window_start_ns=0) + several("m", 1, created=0, window_ns=32 * DAY_NS, window_start_ns=0)
    assert [(m.stage, m.window.width_ns) for m in plan(long_ago, NOW, SETTINGS)] == [("closing", DAY_NS)]


# Locality


def level(number: int, keys: str, prefix: str = "", **changes: Any) -> Fragment:
    created = changes.pop("created", next(_CREATED))
    return fragment(f"{prefix}{keys}{created}", 1_000_000, keys=keys, level=number, created=created, **changes)


_CREATED = count(NOW)


def test_enough_overlapping_fragments_of_a_level_are_promoted_as_disjoint_ones() -> None:
    assert plan([level(1, "az") for _ in range(7)], NOW, SETTINGS) == []
    (merge,) = plan([level(1, "az") for _ in range(8)], NOW, SETTINGS)
    assert (merge.stage, merge.level, merge.outputs) == ("level 1", 2, 4)
    assert plan([level(n % 2 + 1, "az") for n in range(8)], NOW, SETTINGS) == []  # levels do not mix


def test_stripes_of_a_level_are_merged_apart() -> None:
    stripes = [level(2, keys) for keys in ("af", "gm", "nz") for _ in range(8)]
    assert [{i[0] for i in inputs} for inputs in names(plan(stripes, NOW, SETTINGS))] == [{"a"}, {"g"}, {"n"}]


def test_the_deepest_overlap_comes_first() -> None:
    members = [level(2, "af") for _ in range(8)] + [level(2, "gm") for _ in range(9)]
    assert [len(inputs) for inputs in names(plan(members, NOW, SETTINGS))] == [9, 8]


def test_a_single_key_is_as_narrow_as_it_gets() -> None:
    assert plan([level(1, "aa") for _ in range(20)], NOW, SETTINGS) == []


def test_in_a_closed_window_what_overlaps_is_merged_and_what_only_touches_is_not() -> None:
    past = {"hour": 3, "created": 1}
    wide = [level(2, "az", **past), *(level(2, keys, created=2, hour=3) for keys in ("ac", "dj", "kz"))]
    assert [len(inputs) for inputs in names(plan(wide, NOW, SETTINGS))] == [4]
    chain = [level(2, keys, hour=3, created=n) for n, keys in enumerate(("ae", "ei", "im", "mq"))]
    assert plan(chain, NOW, SETTINGS) == []


def test_outputs_of_one_merge_are_disjoint_whatever_their_rounded_bounds_say() -> None:
    assert plan([level(2, keys, hour=3, created=7) for keys in ("ab", "ab", "ab")], NOW, SETTINGS) == []


def test_key_ranges_know_nulls_and_unknown_bounds() -> None:
    service = Column("service", "service", "str")

    def of(nulls: int, low: str | None, high: str | None) -> tuple[Any, Any]:
        found = key_range(fragment("a", 10, columns=(ColumnStats(service, nulls, low, high),)))
        return found.low[0], found.high[0]

    assert of(0, "a", "c") < of(0, "b", "c") < of(0, "b", None) < of(1, "b", "c")  # nulls come last
    assert of(10, None, None) == of(10, "x", "y")
    assert of(0, None, "c") < of(0, "", "c")
    missing = key_range(fragment("a"))
    assert missing.is_one_key
    assert not key_range(fragment("a", residual={"service": frozenset({"str"})})).is_one_key


def test_a_descending_sort_column_turns_around() -> None:
    numbers = ColumnStats(Column("n", "n", "i64"), 0, 2, 9)
    from pulka.store import keys

    assert keys._ends(numbers, True) == ((1, "i64", -9), (1, "i64", -2))
    assert keys._ends(replace(numbers, min="a", max="b"), True) == (keys._BELOW, keys._ABOVE)


# Fairness


def busy(tenant: str, number: int, size: int) -> list[Merge]:
    return [Merge((fragment(f"{tenant}{n}", tenant=tenant, bytes=size),), span_of(fragment("x")).window) for n in range(number)]


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=1), st.integers(1, 10))
def test_no_tenant_waits_longer_than_one_turn_of_each_other(queues: Mapping[str, int], per_turn: int) -> None:
    order = [m.first.tenant for m in in_turn([m for t, n in queues.items() for m in busy(t, n, 10)], 10 * per_turn)]
    assert Counter(order) == queues
    for tenant in queues:
        turns = [n for n, own in enumerate(order) if own == tenant]
        gaps = [later - earlier - 1 for earlier, later in pairwise([-1, *turns])]
        assert max(gaps) <= per_turn * (len(queues) - 1)


def test_after_conflicts_the_choice_is_random_among_the_first() -> None:
    merges = busy("a", 10, 1)
    picked = {Turns(100).pick(merges, Random(seed), among=4).first.id for seed in range(50)}
    assert picked == {"a0", "a1", "a2", "a3"}


# Properties: whatever arrives, merges done on paper until nothing is left to do

SMALL = CompactionSettings(
    class_base_rows=10, class_factor=4, fragments_per_class=4, locality_rows=200, locality_bytes=1 << 40, fold_bytes=4000,
    inputs_max=8, input_bytes_max=1 << 40, levels_max=12, overlap_min=1.0,
)  # fmt: skip


@dataclass
class Paper:
    """Fragments on paper: rows per key, and how often any row was rewritten."""

    rows: dict[str, Counter[str]] = field(default_factory=dict)
    rewrites: dict[str, int] = field(default_factory=dict)
    live: dict[str, Fragment] = field(default_factory=dict)
    written: int = 0
    ids: Any = field(default_factory=count)

    def add(self, rows: Counter[str], rewrites: int, like: Fragment) -> None:
        name = f"{next(self.ids):06}"
        made = replace(fragment(name, rows.total(), keys=min(rows) + max(rows)), tenant=like.tenant, window_start_ns=like.window_start_ns,
                       window_ns=like.window_ns, level=like.level, created_ns=like.created_ns)  # fmt: skip
        self.rows[name], self.rewrites[name], self.live[name] = rows, rewrites, made
        self.written += rows.total() if rewrites else 0

    def apply(self, merge: Merge, now_ns: int) -> None:
        """What the native merge does: cut where the key changes once there are enough rows."""
        total = sum((self.rows[f.id] for f in merge.inputs), Counter())
        like = replace(merge.first, window_start_ns=merge.window.start_ns, window_ns=merge.window.width_ns, level=merge.level, created_ns=now_ns)
        outputs: list[Counter[str]] = [Counter()]
        for key in sorted(total):
            if merge.output_rows and outputs[-1].total() >= merge.output_rows and len(outputs) < merge.outputs:
                outputs.append(Counter())
            outputs[-1][key] = total[key]
        for output in outputs:
            self.add(output, 1 + max(self.rewrites[f.id] for f in merge.inputs), like)
        for one in merge.inputs:
            del self.live[one.id]


def check_plan(merges: Sequence[Merge], now_ns: int) -> None:
    used = [f.id for merge in merges for f in merge.inputs]
    assert len(used) == len(set(used)), "a fragment is in two merges"
    for merge in merges:
        assert len({(f.tenant, f.table) for f in merge.inputs}) == 1
        assert len({span_of(f) for f in merge.inputs}) == 1
        assert 1 < len(merge.inputs) <= SMALL.inputs_max
        closed = now_ns - int(SMALL.closed_after_s * 1e9)
        for one in merge.inputs:
            own = (one.window_start_ns, one.window_ns)
            assert own == merge.window or (merge.window.width_ns == DAY_NS and one.window_start_ns + one.window_ns < closed)


arrivals = st.integers(1, 60).flatmap(lambda least: st.lists(
    st.tuples(
        st.integers(0, 12),  # hour
        st.sampled_from(["t", "u"]),
        st.dictionaries(st.sampled_from(KEYS), st.integers(1, 60), min_size=1, max_size=6),
        st.booleans(),  # everything due is merged before the next arrives
    ),
    min_size=least, max_size=60,
))  # fmt: skip


def settle(paper: Paper, now_ns: int) -> None:
    for step in range(200):
        merges = plan(paper.live.values(), now_ns, SMALL)
        check_plan(merges, now_ns)
        if not merges:
            return
        for merge in merges:
            paper.apply(merge, now_ns + step)
    raise AssertionError("the plan never ends")


def rewrites_max(smallest: int) -> float:
    """The bound that `plan` states."""
    return 2 * (math.ceil(math.log(SMALL.locality_rows / smallest, SMALL.growth)) + SMALL.levels_max) + 1


@settings(max_examples=150, deadline=None)
@given(arrivals)
def test_plans_end_and_rewrite_a_row_a_bounded_number_of_times(flushes: list[tuple[int, str, dict[str, int], bool]]) -> None:
    paper, now_ns, total = Paper(), NOW, Counter[str]()
    for hour, tenant, rows, merge_now in flushes:
        now_ns += HOUR_NS // 7
        paper.add(Counter(rows), 0, fragment("x", hour=hour, tenant=tenant, created=now_ns))
        total += Counter(rows)
        if merge_now:
            settle(paper, now_ns)
    now_ns += 3 * DAY_NS
    settle(paper, now_ns)
    assert sum((paper.rows[name] for name in paper.live), Counter()) == total
    flushed, smallest = total.total(), min(sum(rows.values()) for _, _, rows, _ in flushes)
    assert max(paper.rewrites[name] for name in paper.live) <= rewrites_max(smallest)
    assert paper.written <= flushed * rewrites_max(smallest)
    assert next_close_ns(paper.live.values(), now_ns, SMALL) is None


@settings(max_examples=100, deadline=None)
@given(arrivals)
def test_closed_levels_are_disjoint_and_small_fragments_few(flushes: list[tuple[int, str, dict[str, int], bool]]) -> None:
    paper = Paper()
    for n, (hour, tenant, rows, _) in enumerate(flushes):
        paper.add(Counter({key: 20 * number for key, number in rows.items()}), 0, fragment("x", hour=hour, tenant=tenant, created=NOW + n))
    settle(paper, NOW + 3 * DAY_NS)
    levels: dict[Any, list[Fragment]] = {}
    for one in paper.live.values():
        small = one.level < 2 and one.rows < SMALL.locality_rows
        levels.setdefault((one.tenant, one.window_start_ns, one.window_ns, "small" if small else max(one.level, 1)), []).append(one)
    for (_, _, _, which), members in levels.items():
        if which == "small":
            assert len(members) <= 1 + math.log(SMALL.locality_rows, SMALL.growth)
            continue
        ranges = sorted((r.low, r.high) for r in map(key_range, members) if not r.is_one_key)
        assert all(high < low for (_, high), (low, _) in pairwise(ranges)), members


@pytest.mark.parametrize(("flushes", "bound"), [(64, 2), (512, 3), (4096, 4)])
def test_steady_arrival_rewrites_once_per_factor_of_inputs(flushes: int, bound: int) -> None:
    """Equal flushes into one open window: about log(flushes, inputs of a merge) rewrites, far below the worst case."""
    paper, entropy = Paper(), Random(1)
    for n in range(flushes):
        paper.add(Counter(entropy.choices(KEYS, k=16)), 0, fragment("x", created=NOW + n))
        if plan_now := plan(paper.live.values(), NOW + n, STEADY):
            for merge in plan_now:
                paper.apply(merge, NOW + n)
    amplification = 1 + paper.written / (16 * flushes)
    assert amplification <= 1 + bound
    assert max(paper.rewrites.values()) <= bound
    assert len(paper.live) <= 8 * bound * 4


STEADY = CompactionSettings(class_base_rows=10, class_factor=8, locality_rows=500, locality_bytes=1 << 40)
