"""Deletes, retention and holds over the whole store: what queries see, and what is in the objects, against a plain model."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulka.clock import SystemClock
from pulka.errors import BadQuery, NotFound
from pulka.model.windows import HOUR_NS, TimeRange
from pulka.query import DataFusionEngine
from pulka.query.answers import Answers
from pulka.query.conditions import Conditions
from pulka.seams import Limits
from pulka.store.catalog import SqlCatalog
from pulka.store.collect import orphans
from pulka.store.deletes import Deletes, condition_hash, state_of
from pulka.store.fragments import FragmentObjects
from pulka.store.repair import repair
from pulka.store.retention import Keeping
from pulka.store.rewrite import Rewriter

SECOND_NS = 1_000_000_000
CONDITIONS: list[tuple[str, Callable[[dict[str, Any]], bool | None]]] = [
    ("service = 'a'", lambda row: row["service"] and row["service"] == "a"),
    ("NOT (service = 'a')", lambda row: row["service"] and row["service"] != "a"),
    ("service IS NULL", lambda row: row["service"] is None),
    ("n % 3 = 0", lambda row: row["n"] % 3 == 0),
    ("CAST(x AS VARCHAR) = '5'", lambda row: row["x"] is not None and str(row["x"]) == "5"),
    ("Service IN ('b', 'c') OR n < 7", lambda row: row["service"] in ("b", "c") or row["n"] < 7),
    ("true", lambda row: True),
]


class System:
    """The parts that deletes run through, wired as `pulka.app` does."""

    def __init__(self, lake: Any, default_s: int = 0) -> None:
        self.lake, self.default_s = lake, default_s
        self.writer: Any = None
        lake.objects()
        # Moving the clock lets the writer flush in the background: its spooled files are not to be swept from under it.
        lake.objects = self._objects

    def _objects(self, fault: Any = None) -> FragmentObjects:
        with patch.object(FragmentObjects, "prepare"):
            made: FragmentObjects = type(self.lake).objects(self.lake, fault)
            return made

    async def start(self) -> None:
        self.writer = await self.lake.writer()
        lake, catalog, clock = self.lake, self.lake.catalog, self.lake.clock
        self.engine = DataFusionEngine(
            catalog, self.writer, lake.objects(), clock=clock, retention_s=self.default_s, answers=Answers(1 << 20)
        )  # fmt: skip
        self.conditions = Conditions(catalog, self.writer)
        self.deletes = Deletes(catalog, lake.journal, self.writer, self.writer.reached, self.engine, self.conditions.bind, clock)
        self.keeping = Keeping(catalog, clock, self.conditions.bind, self.default_s)

    def rewriter(self, fault: Any = None) -> Rewriter:
        return Rewriter(self.lake.catalog, self.lake.merger(fault), self.conditions.matching, self.lake.clock, default_s=self.default_s)

    async def crash(self) -> None:
        await self.lake.kill(self.writer)
        await self.start()

    async def append(self, rows: Sequence[dict[str, Any]], tenant: str = "t") -> None:
        kinds = {"n": pa.int64(), "service": pa.string(), "x": pa.string() if any(isinstance(r["x"], str) for r in rows) else pa.int64()}
        times = pa.array([row["timestamp"] for row in rows], pa.int64()).cast(pa.timestamp("ns", tz="UTC"))
        columns = {"timestamp": times, **{name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()}}
        await self.lake.journal.append(tenant, "logs", pa.record_batch(columns))
        await self.lake.settled(self.writer)

    async def visible(self, tenant: str = "t") -> list[int]:
        result = await self.engine.run("SELECT n FROM logs", tenant, TimeRange(), Limits())
        return sorted([n for batch in [b async for b in result.batches] for n in batch["n"].to_pylist()])

    async def live(self, tenant: str = "t") -> set[int]:
        """Rows that exist physically in live fragments or in the buffer."""
        keys = [one.key for one in await self.lake.catalog.fragments(tenant)]
        return self._stored(keys) | {n for _, batch in self.writer.fresh(tenant, "logs") if batch.num_rows for n in batch["n"].to_pylist()}

    def objects(self, tenant: str = "t") -> set[int]:
        """Rows in all objects of a tenant, whatever the catalog says, as DuckDB and Polars read them."""
        files = sorted(str(path) for path in (self.lake.directory / "objects" / tenant).rglob("*.parquet"))
        if not files:
            return set()
        by_duckdb = {n for (n,) in duckdb.sql(f"SELECT n FROM read_parquet({files!r}, union_by_name=true)").fetchall()}
        assert by_duckdb == {n for file in files for n in pl.read_parquet(file, columns=["n"])["n"]}
        return by_duckdb

    def _stored(self, keys: Sequence[str]) -> set[int]:
        return {n for key in keys for n in pl.read_parquet(self.lake.directory / "objects" / key, columns=["n"])["n"]}

    async def settle(self) -> None:
        """Flush, remove, let the grace pass, collect, until nothing is pending."""
        for _ in range(3):
            await self.writer.flush()
            await self.rewriter().run_once()
            await self.lake.clock.advance(400)
            await self.lake.compactor(retired_grace_s=300.0).collect()
            await self.rewriter().run_once()


def row(n: int, at_ns: int, service: str | None = "a", x: Any = None) -> dict[str, Any]:
    return {"n": n, "timestamp": at_ns, "service": service, "x": x}


@dataclass
class Model:
    """What should be: rows, those deleted, and what the policies (longest first; None: the others) keep."""

    policies: list[tuple[str | None, int]]
    rows: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: {"t": {}, "u": {}})
    deleted: set[int] = field(default_factory=set)
    pinned: set[int] = field(default_factory=set)
    hold: TimeRange | None = None

    def visible(self, tenant: str, now_ns: int) -> list[int]:
        return [n for n, one in self.rows[tenant].items() if n not in self.deleted and not (tenant == "t" and self.expired(one, now_ns))]

    def expired(self, one: dict[str, Any], now_ns: int) -> bool:
        known = dict(CONDITIONS)
        matching = [keep for sql, keep in self.policies if sql is not None and known[sql](one)]
        base = next((keep for sql, keep in self.policies if sql is None), 0)
        keep_s = (0 if 0 in matching else max(matching)) if matching else base
        return bool(keep_s) and one["timestamp"] < now_ns - keep_s * SECOND_NS

    def delete(self, condition: Callable[[dict[str, Any]], bool | None], window: TimeRange, now_ns: int) -> int:
        seen = self.visible("t", now_ns)
        gone = {n for n, one in self.rows["t"].items() if window.overlaps(one["timestamp"], one["timestamp"]) and condition(one)}
        self.deleted |= gone
        return len(gone & set(seen))

    def is_pinned(self, one: dict[str, Any]) -> bool:
        return self.hold is not None and self.hold.overlaps(one["timestamp"], one["timestamp"])


hours = st.integers(0, 5)
windows = st.one_of(st.just((None, None)), st.tuples(hours, hours).map(sorted), st.tuples(hours, st.none()), st.tuples(st.none(), hours))
faults = st.one_of(st.just(-1), st.integers(1, 12))
xs = st.sampled_from([None, 5, 7, "5", "y"])
batches = st.lists(st.tuples(hours, st.sampled_from([None, "a", "b"]), xs), min_size=1, max_size=6)
steps = st.one_of(
    st.tuples(st.just("append"), batches),
    st.tuples(st.just("append"), batches),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("merge"), faults),
    st.tuples(st.just("rewrite"), faults),
    st.tuples(st.just("delete"), st.tuples(st.integers(0, len(CONDITIONS) - 1), windows)),
    st.tuples(st.just("crash"), st.none()),
    st.tuples(st.just("advance"), st.sampled_from([60, 1800, 3600, 2 * 3600])),
    st.tuples(st.just("collect"), st.none()),
    st.tuples(st.just("hold"), windows),
    st.tuples(st.just("release"), st.none()),
)
policies = st.sampled_from([
    [], [(None, 2 * 3600)], [("service = 'a'", 3600), (None, 4 * 3600)], [("service = 'a'", 4 * 3600), ("n % 3 = 0", 2 * 3600), (None, 3600)],
    [("service = 'a'", 0), (None, 2 * 3600)], [("CAST(x AS VARCHAR) = '5'", 3600)],
])  # fmt: skip


class Scenario:
    """Does each step to the system and to the model, then compares."""

    def __init__(self, lake: Any, new_fault: Any, model: Model) -> None:
        self.system, self.model, self.new_fault, self.lake = System(lake), model, new_fault, lake
        self.now_hour_ns = lake.clock.now_ns() // HOUR_NS * HOUR_NS
        self.count, self.holds = 0, []

    def _window(self, ends: Sequence[int | None]) -> TimeRange:
        start, end = (None if hour is None else self.now_hour_ns - (5 - hour) * HOUR_NS for hour in ends)
        return TimeRange(start, end)

    async def append(self, events: Sequence[tuple[int, str | None, Any]]) -> None:
        for tenant in ("t", "u"):
            # One physical type of x per batch, as a batch of mixed ones has two columns of it.
            for kind in (int, str):
                some = [(hour, service, x) for hour, service, x in events if isinstance(x, kind) or (x is None and kind is int)]
                made = [row(self.count + i, self.now_hour_ns - hour * HOUR_NS + i, service, x) for i, (hour, service, x) in enumerate(some)]
                self.count += len(made)
                if made:
                    await self.system.append(made, tenant)
                    self.model.rows[tenant] |= {one["n"]: one for one in made}
                    self.model.pinned |= {one["n"] for one in made if tenant == "t" and self.model.is_pinned(one)}

    async def flush(self, _: None) -> None:
        await self.system.writer.flush()

    async def merge(self, fault: int) -> None:
        options = {"fragments_per_class": 2, "closed_after_s": 0.0, "retired_grace_s": 300.0}
        await asyncio.gather(self.lake.compactor(self.new_fault(fault), **options).run_once(), return_exceptions=True)

    async def rewrite(self, fault: int) -> None:
        await asyncio.gather(self.system.rewriter(self.new_fault(fault)).run_once(), return_exceptions=True)

    async def delete(self, what: tuple[int, Sequence[int | None]]) -> None:
        if not self.model.rows["t"]:
            return
        sql, condition = CONDITIONS[what[0]]
        window = self._window(what[1])
        made = await self.system.deletes.request("t", "logs", sql, window, "eve")
        assert made.rows_matched == self.model.delete(condition, window, self.lake.clock.now_ns())

    async def crash(self, _: None) -> None:
        await self.system.crash()

    async def advance(self, seconds: int) -> None:
        await self.lake.clock.advance(seconds)

    async def collect(self, _: None) -> None:
        await self.lake.compactor(retired_grace_s=0.0).collect()

    async def hold(self, ends: Sequence[int | None]) -> None:
        if self.model.hold is None:
            window = self._window(ends)
            self.holds.append(await self.system.keeping.hold("t", "logs", window, "case", "eve"))
            self.model.hold = window
            physical = await self.system.live()
            self.model.pinned = {n for n in physical if self.model.is_pinned(self.model.rows["t"][n])}

    async def release(self, _: None) -> None:
        self.model.hold, self.model.pinned = None, set()
        while self.holds:
            await self.system.keeping.release("t", self.holds.pop().id)

    async def compare(self, done: str) -> None:
        now_ns = self.lake.clock.now_ns()
        for tenant in ("t", "u"):
            assert await self.system.visible(tenant) == sorted(self.model.visible(tenant, now_ns)), f"{tenant} after {done}"
        assert self.model.pinned <= await self.system.live(), f"held rows after {done}"

    async def end(self) -> None:
        """With no hold left everything is done in the end: gone from the objects, and only that."""
        await self.release(None)
        await self.system.settle()
        now_ns = self.lake.clock.now_ns()
        found = await self.lake.catalog.rules()
        assert all(state_of(one, found) == "done" and one.condition is None for one in found.deletes)
        # What crashes left without an entry is known to `pulka store repair --orphans` only.
        await self.lake.objects().delete([key async for key in orphans(self.lake.catalog, self.lake.store, SystemClock(), 0)])
        assert sum(one.rows_removed for one in found.deletes) <= len(self.model.deleted)
        await self.compare("the end")
        assert self.system.objects("u") == set(self.model.rows["u"])
        stored = self.system.objects("t")
        assert stored.isdisjoint(self.model.deleted)
        assert stored >= set(self.model.visible("t", now_ns))
        usage = await self.lake.catalog.usage()
        sizes = [path.stat().st_size for path in (self.lake.directory / "objects").rglob("*.parquet")]
        assert sum(one.bytes + one.retired_bytes for one in usage) == sum(sizes)
        assert sum(one.fragments + one.retired_fragments for one in usage) == len(sizes)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(todo=st.lists(steps, min_size=3, max_size=14), kept=policies)
def test_queries_and_objects_equal_a_model_at_every_step(lake_in: Any, new_fault: Any, todo: list[tuple[str, Any]], kept: list[Any]) -> None:
    check(lake_in, new_fault, todo, kept)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(todo=st.lists(steps, min_size=3, max_size=30), kept=policies)
def test_longer_lives_equal_the_model_too(lake_in: Any, new_fault: Any, todo: list[tuple[str, Any]], kept: list[Any]) -> None:
    check(lake_in, new_fault, todo, kept)


def check(lake_in: Any, new_fault: Any, todo: list[tuple[str, Any]], kept: list[Any]) -> None:
    async def run(directory: Path) -> None:
        async with lake_in(directory) as lake:
            scenario = Scenario(lake, new_fault, Model(kept))
            await scenario.system.start()
            await scenario.append([(0, "a", 5), (1, "b", None), (4, None, "5")])
            for sql, keep_s in kept:
                await scenario.system.keeping.set_policy("t", "logs", keep_s, sql, "eve")
            for name, argument in todo:
                await getattr(scenario, name)(argument)
                await scenario.compare(name)
            await scenario.end()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))


@pytest.fixture
async def system(lake: Any) -> System:
    made = System(lake)
    await made.start()
    return made


NOW = 1_800_000_000 * SECOND_NS


async def test_events_that_arrive_later_are_not_affected(system: System) -> None:
    await system.append([row(1, NOW)])
    await system.deletes.request("t", "logs", "service = 'a'", TimeRange(), "eve")
    assert await system.visible() == []
    await system.append([row(2, NOW)])
    assert await system.visible() == [2]
    await system.writer.flush()
    assert await system.visible() == [2]
    assert [(one.rows, one.deleted_upto) for one in await system.lake.catalog.fragments()] == [(1, 0), (1, 1)]
    await system.settle()
    assert (await system.visible(), system.objects()) == ([2], {2})


async def test_a_restart_before_the_flush_knows_the_barrier(system: System) -> None:
    await system.append([row(1, NOW)])
    await system.deletes.request("t", "logs", "true", TimeRange(), "eve")
    await system.append([row(2, NOW)])
    await system.crash()
    await system.writer.flush()
    assert await system.visible() == [2]
    assert len(await system.lake.catalog.fragments()) == 2


async def test_what_is_kept_of_a_request_and_for_how_long(system: System) -> None:
    await system.append([row(n, NOW + n, "a" if n < 3 else "b") for n in range(5)])
    made = await system.deletes.request("t", "logs", "service = 'a'", TimeRange(NOW, NOW + 2), "eve")
    assert (made.created_by, made.rows_matched, made.condition.sql) == ("eve", 2, "service = 'a'")
    await system.settle()
    (done,) = (await system.lake.catalog.rules()).deletes
    assert (done.rows_matched, done.rows_removed, done.condition) == (2, 2, None)
    assert done.condition_hash == condition_hash(made.id, "service = 'a'")
    assert b"service = 'a'" not in b"".join(path.read_bytes() for path in system.lake.directory.glob("catalog.db"))


async def test_a_dry_run_counts_and_changes_nothing(system: System) -> None:
    await system.append([row(n, NOW, "a") for n in range(3)])
    assert await system.deletes.matching("t", "logs", "SERVICE = 'a'", TimeRange()) == 3
    assert (await system.lake.catalog.rules()).deletes == ()
    assert await system.visible() == [0, 1, 2]


async def test_a_type_that_comes_later_does_not_change_what_was_meant(system: System) -> None:
    await system.append([row(1, NOW, x=5), row(2, NOW, x=6)])
    await system.writer.flush()
    await system.deletes.request("t", "logs", "x > 5", TimeRange(), "eve")
    await system.append([row(3, NOW, x="text")])
    assert await system.visible() == [1, 3]
    await system.settle()
    assert (await system.visible(), system.objects()) == ([1, 3], {1, 3})


async def test_a_held_delete_waits(system: System) -> None:
    await system.append([row(1, NOW), row(2, NOW - 9 * HOUR_NS)])
    await system.writer.flush()
    hold = await system.keeping.hold("t", "logs", TimeRange(None, NOW - HOUR_NS), "case 7", "eve")
    await system.deletes.request("t", "logs", "true", TimeRange(), "eve")
    await system.settle()
    found = await system.deletes.all("t")
    assert (await system.visible(), system.objects(), state_of(found.deletes[0], found)) == ([], {2}, "held")
    await system.keeping.release("t", hold.id)
    await system.settle()
    found = await system.deletes.all("t")
    assert (system.objects(), state_of(found.deletes[0], found)) == (set(), "done")


async def test_whole_fragments_expire_without_being_read(lake: Any) -> None:
    system = System(lake, default_s=3600)
    await system.start()
    await system.append([row(1, NOW), row(2, NOW - 3 * HOUR_NS)])
    assert await system.visible() == [1]
    await system.writer.flush()

    async def never(*_: Any) -> Any:
        raise AssertionError("nothing is to be read")

    system.conditions.matching = never  # type: ignore[method-assign]
    assert await system.rewriter().run_once() == 1
    assert [one.rows for one in await lake.catalog.fragments()] == [1]
    assert await system.visible() == [1]


async def test_a_rule_is_applied_to_a_fragment_once(system: System) -> None:
    await system.append([row(1, NOW - 3 * HOUR_NS, "a"), row(2, NOW - 3 * HOUR_NS, "b")])
    await system.writer.flush()
    await system.keeping.set_policy("t", "logs", 3600, "service = 'a'", "eve")
    rewriter = system.rewriter()
    assert [await rewriter.run_once() for _ in range(3)] == [1, 0, 0]
    assert system.rewriter().counts.failures == 0
    await system.keeping.set_policy("t", "logs", 7200, "service = 'c'", "eve")
    assert [await rewriter.run_once() for _ in range(2)] == [0, 0]  # looked at, nothing found, marked
    await system.keeping.set_policy("t", "logs", 7200, "service = 'b'", "eve")
    assert [await rewriter.run_once() for _ in range(2)] == [1, 0]
    assert await lake_rows(system) == 0


async def lake_rows(system: System) -> int:
    return sum(one.rows for one in await system.lake.catalog.fragments())


async def test_a_policy_for_the_same_rows_is_replaced_and_can_be_taken_back(system: System) -> None:
    await system.append([row(1, NOW - 3 * HOUR_NS)])
    for keep_s in (60, 7200):
        await system.keeping.set_policy("t", "logs", keep_s, None, "eve")
    await system.keeping.set_policy("t", "*", 60, None, "eve")
    policies = (await system.keeping.rules("t")).retention
    assert sorted((one.table, one.keep_s) for one in policies) == [("*", 60), ("logs", 7200)]
    assert await system.visible() == []
    for policy in policies:
        await system.keeping.remove_policy("t", policy.id)
    assert await system.visible() == [1]
    with pytest.raises(NotFound):
        await system.keeping.remove_policy("u", policies[0].id)


async def test_a_tenant_deletes_only_its_own(system: System) -> None:
    for tenant in ("t", "u"):
        await system.append([row(1, NOW)], tenant)
    await system.deletes.request("t", "logs", "true", TimeRange(), "eve")
    await system.settle()
    assert (await system.visible("t"), await system.visible("u"), system.objects("u")) == ([], [1], {1})
    assert (await system.deletes.all("u")).deletes == ()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("usr = 'topsecret'", "there is no field `usr`"), ("count(*) > 77731", "not TRUE, FALSE or NULL"), ("n IN (SELECT 77731)", "cannot ask a query"),
        ("random() < 0.77731", "`random` gives another answer"), ("now() > timestamp", "`now` gives another answer"),
        ("CAST(service AS BIGINT) = 77731", "not TRUE, FALSE or NULL"), ("n / 0 = 77731", "not TRUE, FALSE or NULL"),
        ("1 = 1) OR (n = 77731", "not a boolean SQL expression"), ("n = 77731;", "not a boolean SQL expression"), ("", "not a boolean SQL expression"),
        ("service", "not TRUE, FALSE or NULL"), ("servce = 'topsecret'", "there is no field `servce`"),
    ],
)  # fmt: skip
async def test_conditions_that_cannot_be_kept_are_refused(system: System, where: str, told: str, caplog: pytest.LogCaptureFixture) -> None:
    await system.append([row(1, NOW)])
    with pytest.raises(BadQuery) as caught:
        await system.deletes.request("t", "logs", where, TimeRange(), "eve")
    assert told in caught.value.message
    for said in (caught.value.message, caught.value.hint, caplog.text):
        assert "topsecret" not in said
        assert "77731" not in said


async def test_an_unknown_table_names_the_nearest(system: System) -> None:
    with pytest.raises(NotFound) as caught:
        await system.deletes.request("t", "log", "true", TimeRange(), "eve")
    assert "`logs`" in caught.value.hint


async def test_a_repair_within_the_grace_does_not_bring_deleted_rows_back(system: System, tmp_path: Path) -> None:
    for part in ([row(1, NOW), row(2, NOW, "b")], [row(3, NOW), row(4, NOW, "b")]):
        await system.append(part)
        await system.writer.flush()
    await system.deletes.request("t", "logs", "service = 'a'", TimeRange(), "eve")
    assert await system.rewriter().run_once() == 2
    assert system.objects() == {1, 2, 3, 4}  # the originals wait for the end of the grace
    again = await SqlCatalog.open(f"sqlite:///{tmp_path}/again.db", system.lake.clock)
    await repair(again, system.lake.store, system.lake.objects())
    assert system._stored([one.key for one in await again.fragments()]) == {2, 4}
    await again.close()
