"""One suite over every catalog: the fake, SQLite, PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.contract.conftest import empty_catalog

from pulka.clock import SystemClock
from pulka.errors import Conflict
from pulka.model.fields import Column
from pulka.model.rules import Condition, Delete, Hold, Retention
from pulka.model.windows import HOUR_NS, TimeRange
from pulka.seams import Amendment, Catalog, ColumnStats, DedupKey, Fragment, Publication, Usage
from pulka.store.catalog import SqlCatalog

FOREVER = 2**62
ALWAYS = TimeRange()
COLUMNS = (
    ColumnStats(Column("timestamp", "timestamp", "timestamp"), 0, 5, 9),
    ColumnStats(Column("service", "service", "str"), 1, "a", "z\u00e9", automaton=b"\x04\x61\x02", words=bytes(range(256))),
    ColumnStats(Column("env", "env", "str"), 0, "dev", "prod", values=("dev", "prod", "")),
    ColumnStats(Column("n#f64", "n", "f64"), 0, -1.5, 2.0),
    ColumnStats(Column("n", "n", "i64"), 2, -(2**63), 2**63 - 1),
    ColumnStats(Column("ok", "ok", "bool"), 3, None, None),
)


def fragment(name: str, hour: int = 0, *, tenant: str = "t", table: str = "logs", rows: int = 10) -> Fragment:
    start = hour * HOUR_NS
    return Fragment(
        id=name, tenant=tenant, table=table, key=f"{tenant}/{table}/{name}.parquet", window_start_ns=start, window_ns=HOUR_NS,
        min_ns=start + 5, max_ns=start + 9, rows=rows, bytes=100, raw_bytes=1000, level=0, created_ns=1, columns=COLUMNS,
        residual={"rare.field": frozenset({"i64", "str"})},
    )  # fmt: skip


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def catalog(request: pytest.FixtureRequest) -> AsyncIterator[Catalog]:
    if request.param == "memory":
        yield pytest.importorskip("pulka.testing.catalog").MemoryCatalog()
        return
    opened = await SqlCatalog.open(empty_catalog(request.param, request), SystemClock())
    yield opened
    await opened.close()


async def test_a_new_catalog_is_empty(catalog: Catalog) -> None:
    assert list(await catalog.tenants()) == []
    assert list(await catalog.fragments()) == []
    assert dict(await catalog.positions(0)) == {}
    snapshot = await catalog.snapshot("t", "logs", TimeRange())
    assert (snapshot.fragments, dict(snapshot.positions), snapshot.pruned_by_time) == ((), {}, 0)


async def test_what_was_published_comes_back_equal(catalog: Catalog) -> None:
    one = fragment("a")
    await catalog.publish(Publication(add=(one,), positions={(3, "t", "logs"): (0, 7)}))
    for _ in range(2):  # the second time from the cache
        snapshot = await catalog.snapshot("t", "logs", TimeRange())
        assert snapshot.fragments == (one,)
        assert dict(snapshot.positions) == {3: 7}
    assert dict(await catalog.positions(3)) == {("t", "logs"): 7}
    assert list(await catalog.tenants()) == ["t"]


async def test_a_snapshot_has_the_overlapping_fragments_and_counts_the_others(catalog: Catalog) -> None:
    await catalog.publish(Publication(add=tuple(fragment(f"h{hour}", hour) for hour in range(5))))
    await catalog.publish(Publication(add=(fragment("other", 2, table="spans"), fragment("foreign", 2, tenant="u"))))
    snapshot = await catalog.snapshot("t", "logs", TimeRange(HOUR_NS + 9, 3 * HOUR_NS + 5))
    assert [f.id for f in snapshot.fragments] == ["h1", "h2"]  # start inclusive, end exclusive
    assert snapshot.pruned_by_time == 3
    assert [f.id for f in (await catalog.snapshot("t", "logs", TimeRange(None, 6))).fragments] == ["h0"]


async def test_a_position_moves_only_from_where_it_is_expected(catalog: Catalog) -> None:
    at = (0, "t", "logs")
    await catalog.publish(Publication(positions={at: (0, 4)}))
    for expected in (0, 3, 5):
        with pytest.raises(Conflict):
            await catalog.publish(Publication(add=(fragment("x"),), positions={at: (expected, 9)}))
    assert list(await catalog.fragments()) == []
    await catalog.publish(Publication(positions={at: (4, 9)}))
    assert dict(await catalog.positions(0)) == {("t", "logs"): 9}
    assert dict(await catalog.positions(1)) == {}


async def test_one_wrong_position_of_several_changes_none(catalog: Catalog) -> None:
    await catalog.publish(Publication(positions={(1, "t", "logs"): (0, 4)}))
    with pytest.raises(Conflict):
        await catalog.publish(Publication(positions={(0, "t", "logs"): (0, 2), (1, "t", "logs"): (3, 6)}))
    assert dict(await catalog.positions(0)) == {}


async def test_retiring_swaps_atomically_and_only_once(catalog: Catalog) -> None:
    await catalog.publish(Publication(add=(fragment("a"), fragment("b"))))
    await catalog.publish(Publication(add=(fragment("ab", rows=20),), retire=("a", "b")))
    assert [f.id for f in await catalog.fragments("t", "logs")] == ["ab"]
    for gone in (("a",), ("ab", "b"), ("never",)):
        with pytest.raises(Conflict):
            await catalog.publish(Publication(add=(fragment("late"),), retire=gone))
    assert [f.id for f in await catalog.fragments()] == ["ab"]


async def test_retired_objects_are_known_until_forgotten(catalog: Catalog) -> None:
    await catalog.publish(Publication(add=(fragment("a"), fragment("b"))))
    assert list(await catalog.retired(FOREVER)) == []
    await catalog.publish(Publication(retire=("a",)))
    assert list(await catalog.retired(0)) == []
    assert list(await catalog.retired(FOREVER)) == [fragment("a").key]
    await catalog.forget([fragment("a").key, fragment("b").key])
    assert list(await catalog.retired(FOREVER)) == []
    assert [f.id for f in await catalog.fragments()] == ["b"]  # forget never touches what is live


async def test_tables_sum_what_is_live_and_keep_every_field(catalog: Catalog) -> None:
    await catalog.publish(Publication(add=(fragment("a", 1), fragment("b", 3, rows=5), fragment("s", table="spans"))))
    info = (await catalog.tables("t"))["logs"]
    assert (info.fragments, info.rows, info.bytes, info.raw_bytes) == (2, 15, 200, 2000)
    assert (info.min_ns, info.max_ns) == (HOUR_NS + 5, 3 * HOUR_NS + 9)
    assert info.fields["n"] == {"i64", "f64"}
    assert info.fields["rare.field"] == {"i64", "str"}
    await catalog.publish(Publication(retire=("a", "b")))
    info = (await catalog.tables("t"))["logs"]
    assert (info.fragments, info.rows, info.min_ns) == (0, 0, None)
    assert info.fields["service"] == {"str"}
    assert set(await catalog.tables("t")) == {"logs", "spans"}
    assert dict(await catalog.tables("u")) == {}


async def test_a_known_field_may_gain_a_type(catalog: Catalog) -> None:
    await catalog.publish(Publication(add=(fragment("a"),)))
    more = (ColumnStats(Column("ok", "ok", "str"), 0, "x", "y"),)
    await catalog.publish(Publication(add=(replace(fragment("b"), columns=more, residual={}),)))
    assert (await catalog.tables("t"))["logs"].fields["ok"] == {"bool", "str"}


async def test_dedup_keys_are_committed_with_the_data(catalog: Catalog) -> None:
    key = DedupKey("t", "logs", "k1", FOREVER, b"\x00ack")
    with pytest.raises(Conflict):
        await catalog.publish(Publication(retire=("never",), dedup=(key,)))
    assert list(await catalog.dedup(0)) == []
    await catalog.publish(Publication(dedup=(key,)))
    assert list(await catalog.dedup(0)) == [key]
    assert list(await catalog.dedup(FOREVER)) == []


async def test_of_many_writers_at_one_position_one_wins(catalog: Catalog) -> None:
    async def attempt(name: str) -> bool:
        try:
            await catalog.publish(Publication(add=(fragment(name),), positions={(0, "t", "logs"): (0, 1)}))
        except Conflict:
            return False
        return True

    won = [name for name in "abcdefgh" if name]
    outcomes = await asyncio.gather(*(attempt(name) for name in won))
    assert sum(outcomes) == 1
    assert [f.id for f in await catalog.fragments()] == [name for name, ok in zip(won, outcomes, strict=True) if ok]


async def test_many_fragments_at_once(catalog: Catalog) -> None:
    many = tuple(fragment(f"f{number:04}") for number in range(1200))
    await catalog.publish(Publication(add=many))
    assert len((await catalog.snapshot("t", "logs", TimeRange())).fragments) == 1200
    await catalog.publish(Publication(retire=tuple(f.id for f in many)))
    keys = await catalog.retired(FOREVER)
    assert len(keys) == 1200
    await catalog.forget(keys)
    assert list(await catalog.retired(FOREVER)) == []


SECRET = Condition("service = 'secret' AND \"a b\" > 1", (("service", "str"), ("a b", "i64")))


def wanted(name: str, upto: int, *, tenant: str = "t", table: str = "logs", window: TimeRange = ALWAYS) -> Delete:
    return Delete(name, tenant, table, SECRET, "hash", window, {0: upto}, created_ns=5, created_by="eve", rows_matched=3)


async def flush(catalog: Catalog, name: str, start: int, end: int, hour: int = 0) -> Fragment:
    await catalog.publish(Publication(add=(fragment(name, hour),), positions={(0, "t", "logs"): (start, end)}))
    return next(one for one in await catalog.fragments() if one.id == name)


async def test_rules_come_back_equal_and_by_tenant(catalog: Catalog) -> None:
    policies = (Retention("r1", "t", "logs", 60, None, 1, "a"), Retention("r2", "t", "logs", 0, SECRET, 2, "b"))
    hold = Hold("h1", "t", "logs", TimeRange(None, 7), "case 4", 3, "c")
    other = Hold("h2", "u", "logs", TimeRange(1, None), "", 4, "d")
    await catalog.amend(Amendment(put=(*policies, hold, other)))
    found = await catalog.rules("t")
    assert (found.retention, found.holds, found.deletes) == (policies, (hold,), ())
    assert (await catalog.rules()).holds == (hold, other)
    assert (await catalog.snapshot("t", "logs", TimeRange())).retention == policies
    await catalog.amend(Amendment(put=(replace(policies[0], id="r3", keep_s=90),), remove=("h2",)))
    found = await catalog.rules()
    assert {(one.id, one.keep_s) for one in found.retention} == {("r3", 90), ("r2", 0)}
    assert found.holds == (hold,)


async def test_a_delete_is_numbered_listed_and_finished(catalog: Catalog) -> None:
    await flush(catalog, "a", 0, 4)
    await catalog.amend(Amendment(put=(wanted("d1", 4),)))
    await catalog.amend(Amendment(put=(wanted("d2", 6, window=TimeRange(HOUR_NS, None)),)))
    await catalog.amend(Amendment(put=(wanted("d3", 1, table="spans"),)))
    found = {one.id: one for one in (await catalog.rules("t")).deletes}
    assert [(found[name].number, found[name].fragments_left, found[name].is_published) for name in ("d1", "d2", "d3")] == [
        (1, 1, True), (2, 0, False), (1, 0, False)
    ]  # fmt: skip
    assert replace(found["d1"], number=0, fragments_left=0, is_published=False) == wanted("d1", 4)
    assert [one.id for one in (await catalog.snapshot("t", "logs", TimeRange())).deletes] == ["d1", "d2"]
    await catalog.amend(Amendment(finish=("d1",)))
    done = next(one for one in (await catalog.rules("t")).deletes if one.id == "d1")
    assert (done.condition, done.condition_hash, done.done_ns is not None) == (None, "hash", True)
    assert {one.id for one in (await catalog.rules("t", done=False)).deletes} == {"d2", "d3"}
    assert [one.id for one in (await catalog.snapshot("t", "logs", TimeRange())).deletes] == ["d2"]


async def test_a_delete_needs_that_nothing_behind_it_is_published(catalog: Catalog) -> None:
    await flush(catalog, "a", 0, 4)
    with pytest.raises(Conflict):
        await catalog.amend(Amendment(put=(wanted("late", 3),)))
    await catalog.amend(Amendment(put=(wanted("d1", 9),)))
    with pytest.raises(Conflict):
        await catalog.amend(Amendment(put=(wanted("overtaken", 8),)))
    await catalog.amend(Amendment(put=(wanted("foreign", 1, tenant="u"),)))
    assert [one.id for one in (await catalog.rules("t")).deletes] == ["d1"]


async def test_flushes_know_which_deletes_came_before_their_rows(catalog: Catalog) -> None:
    assert (await flush(catalog, "a", 0, 2)).deleted_upto == 0
    await catalog.amend(Amendment(put=(wanted("d1", 5),)))
    assert (await flush(catalog, "b", 2, 5)).deleted_upto == 0
    await catalog.amend(Amendment(put=(wanted("d2", 9),)))
    assert (await flush(catalog, "c", 5, 9)).deleted_upto == 1
    assert (await flush(catalog, "d", 9, 12)).deleted_upto == 2
    left = {one.id: one.fragments_left for one in (await catalog.rules()).deletes}
    assert left == {"d1": 2, "d2": 3}


async def test_a_first_flush_after_a_delete_of_nothing(catalog: Catalog) -> None:
    await catalog.amend(Amendment(put=(wanted("d1", 3),)))
    assert (await flush(catalog, "a", 0, 3)).deleted_upto == 0


async def test_rows_of_a_pending_delete_do_not_mix_with_others(catalog: Catalog) -> None:
    await flush(catalog, "a", 0, 2)
    await catalog.amend(Amendment(put=(wanted("d1", 2),)))
    await flush(catalog, "b", 2, 5)
    for mark in (0, 1):
        with pytest.raises(Conflict):
            await catalog.publish(Publication(add=(replace(fragment("ab"), deleted_upto=mark),), retire=("a", "b")))
    await catalog.publish(Publication(add=(replace(fragment("a2"), deleted_upto=1),), retire=("a",), removed={"d1": 4}))
    await catalog.publish(Publication(add=(replace(fragment("ab"), deleted_upto=1),), retire=("a2", "b")))
    (found,) = (await catalog.rules()).deletes
    assert (found.rows_removed, found.fragments_left) == (4, 1)  # the object of a is still there
    await catalog.forget([fragment("a").key, fragment("b").key, fragment("a2").key])
    assert (await catalog.rules()).deletes[0].fragments_left == 0


async def test_windows_a_delete_does_not_reach_mix_freely(catalog: Catalog) -> None:
    await flush(catalog, "a", 0, 2, hour=5)
    await catalog.amend(Amendment(put=(wanted("d1", 2, window=TimeRange(None, HOUR_NS)),)))
    await flush(catalog, "b", 2, 5, hour=5)
    await catalog.publish(Publication(add=(replace(fragment("ab", 5), deleted_upto=1),), retire=("a", "b")))
    assert (await catalog.rules()).deletes[0].fragments_left == 0


async def test_marks_are_set_on_live_fragments_only(catalog: Catalog) -> None:
    one = await flush(catalog, "a", 0, 2)
    await catalog.publish(Publication(mark=(replace(one, deleted_upto=7, swept="x", rows=99),)))
    assert list(await catalog.fragments()) == [replace(one, deleted_upto=7, swept="x")]
    await catalog.publish(Publication(retire=("a",)))
    with pytest.raises(Conflict):
        await catalog.publish(Publication(mark=(one,)))


async def test_what_is_held_is_not_removed(catalog: Catalog) -> None:
    await catalog.publish(Publication(add=(fragment("a", 1), fragment("b", 9))))
    await catalog.amend(Amendment(put=(Hold("h", "t", "logs", TimeRange(None, 2 * HOUR_NS)), Hold("i", "u", "logs"))))
    with pytest.raises(Conflict):
        await catalog.publish(Publication(retire=("a", "b"), removed={"": 20}))
    await catalog.publish(Publication(retire=("b",), removed={"": 10}))
    await catalog.publish(Publication(add=(fragment("a2", 1),), retire=("a",)))  # a merge: the rows live on
    await catalog.amend(Amendment(remove=("h",)))
    await catalog.publish(Publication(retire=("a2",), removed={"": 10}))
    assert list(await catalog.fragments()) == []


async def test_usage_counts_live_and_retired_objects(catalog: Catalog) -> None:
    assert list(await catalog.usage()) == []
    await catalog.publish(Publication(add=(fragment("a"), fragment("b", rows=5), fragment("s", table="spans"), fragment("u", tenant="u"))))
    await catalog.publish(Publication(retire=("a", "s")))
    assert list(await catalog.usage("t")) == [Usage("t", "logs", 1, 5, 100, 1000, 1, 100), Usage("t", "spans", 0, 0, 0, 0, 1, 100)]
    assert [one.tenant for one in await catalog.usage()] == ["t", "t", "u"]
    await catalog.forget([fragment("s", table="spans").key])
    assert [one.table for one in await catalog.usage("t")] == ["logs"]
