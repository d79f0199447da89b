"""Live tails over batches in memory: the filter means what it means in a query, nothing is shown twice, memory is bounded."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.query.conftest import Lake

from pulka.errors import BadInput, BadQuery, NotFound, Temporary
from pulka.model.rules import Delete, Retention
from pulka.query.conditions import Conditions
from pulka.query.engine import DataFusionEngine
from pulka.query.tails import Filters, Tails, TailSettings
from pulka.seams import Amendment, Position, Record
from pulka.testing.clock import FakeClock

HOUR_S = 3600
NOW_NS = FakeClock().now_ns()


class Live:
    """Tails over a lake in memory; `come` is an acknowledged batch."""

    def __init__(self, lake: Lake, **limits: Any) -> None:
        self.lake, self.clock, self.sequence = lake, FakeClock(auto=True), 0
        conditions = Conditions(lake.catalog, lake.fresh)

        def engine(catalog: Any, fresh: Any) -> DataFusionEngine:
            return DataFusionEngine(catalog, fresh, lake.files, clock=FakeClock(), rows=1 << 62, threads=1)

        filters = Filters(lake.catalog, lake.fresh, conditions, engine, self.clock)
        self.tails = Tails(filters, lake.catalog, lake.fresh, self.clock, lambda tenant: 0, TailSettings(**limits))

    def come(self, *rows: dict[str, Any], tenant: str = "acme", table: str = "logs") -> Position:
        self.sequence += 1
        events = [{"timestamp": NOW_NS + number, **row} for number, row in enumerate(rows)]
        self.lake.buffer(events, sequence=self.sequence, table=table, tenant=tenant)
        at, batch = self.lake.fresh.fresh(tenant, table)[-1]
        self.tails.offer(Record(at, tenant, table, batch))
        return at

    async def read(self, subscription: Any, rows: int) -> list[dict[str, Any]]:
        """The next rows, as objects without nulls."""
        found: list[dict[str, Any]] = []
        async for delivery in subscription.deliveries():
            found += shown(delivery)
            if len(found) >= rows:
                return found
        return found


def shown(delivery: Any) -> list[dict[str, Any]]:
    rows = [row for batch in delivery.rows for row in batch.drop_columns("timestamp").to_pylist()]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_a_reader_sees_what_comes_and_matches(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake)
        live.come({"n": 0})
        reader = await live.tails.subscribe("acme", "logs", where="n > 1 AND service = 'web'")
        live.come({"n": 1, "service": "web"}, {"n": 2, "service": "db"})
        live.come({"n": 3, "service": "web", "http.status": 500})
        assert await live.read(reader, 1) == [{"n": 3, "service": "web", "http.status": 500}]
        live.come({"n": 4}, tenant="other")
        live.come({"n": 5, "service": "web"}, table="spans")
        live.come({"n": 6, "service": "web"})
        assert await live.read(reader, 1) == [{"n": 6, "service": "web"}]

    asyncio.run(go())


@pytest.mark.parametrize(
    ("given_", "error"),
    [({"where": "servce = 'a'"}, BadQuery), ({"search": "servce:a"}, BadQuery), ({"where": "n IN (SELECT 1)"}, BadQuery)],
)
def test_filters_that_cannot_be(lake: Lake, given_: dict[str, str], error: type[Exception]) -> None:
    async def go() -> None:
        live = Live(lake)
        live.come({"n": 1})
        with pytest.raises(error):
            await live.tails.subscribe("acme", "logs", **given_)
        with pytest.raises(NotFound, match="lgs"):
            await live.tails.subscribe("acme", "lgs")
        with pytest.raises(BadInput, match="position"):
            await live.tails.subscribe("acme", "logs", after=Position(3, 1))
        assert live.tails.subscribers == 0

    asyncio.run(go())


def test_a_field_that_gets_another_type_meanwhile(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake, heartbeat_s=5)
        live.come({"status": 500})
        reader = await live.tails.subscribe("acme", "logs", search="status:500")
        deliveries = reader.deliveries()
        live.come({"status": 500, "n": 1})
        assert shown(await anext(deliveries)) == [{"status": 500, "n": 1}]
        live.come({"status": "500", "n": 2}, {"status": "x", "n": 3})
        assert shown(await anext(deliveries)) == [{"status": "500", "n": 2}]
        live.come({"status": 500, "n": 4}, {"status": 501, "n": 5})
        assert shown(await anext(deliveries)) == [{"status": "500", "n": 4}]

    asyncio.run(go())


def test_coming_back_loses_nothing_that_is_held(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake)
        reader = await live.tails.subscribe("acme", "logs")
        for n in range(5):
            live.come({"n": n})
        first = await anext(reader.deliveries())
        reader.close()
        for n in range(5, 8):
            live.come({"n": n})
        again = await live.tails.subscribe("acme", "logs", after=first.upto)
        assert [row["n"] for row in [*shown(first), *await live.read(again, 3)]] == list(range(8))
        assert not again.gap

    asyncio.run(go())


def test_what_is_not_held_is_a_gap(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake)
        live.come({"n": 1})
        await asyncio.to_thread(lake.store, [{"timestamp": NOW_NS, "n": 1}], positions={(0, "acme", "logs"): (0, 1)})
        lake.fresh._batches.clear()
        live.come({"n": 2})
        reader = await live.tails.subscribe("acme", "logs", after=Position(0, 0))
        deliveries = reader.deliveries()
        assert (await anext(deliveries)).gap
        assert shown(await anext(deliveries)) == [{"n": 2}]
        whole = await live.tails.subscribe("acme", "logs", after=Position(0, 1))
        assert not whole.gap
        assert await live.read(whole, 1) == [{"n": 2}]

    asyncio.run(go())


def test_the_last_ones_come_first(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake)
        for n in range(6):
            live.come({"n": n, "even": n % 2 == 0, "timestamp": NOW_NS + n})
        reader = await live.tails.subscribe("acme", "logs", where="even", last=2)
        live.come({"n": 6, "even": True})
        assert [row["n"] for row in await live.read(reader, 3)] == [2, 4, 6]

    asyncio.run(go())


def test_a_stuck_reader_costs_a_bounded_amount_and_is_told(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake, buffer_bytes_max=20_000)
        reader = await live.tails.subscribe("acme", "logs")
        for n in range(100):
            live.come({"n": n, "message": "x" * 1000})
        assert reader._queue.bytes <= 20_000
        assert live.tails._topics["acme", "logs"].held.queue.bytes <= 20_000
        rows: list[int] = []
        dropped = 0
        async for delivery in reader.deliveries():
            rows += [row["n"] for row in shown(delivery)]
            dropped += delivery.unread
            if rows and rows[-1] == 99:
                break
        assert rows == list(range(dropped, 100))
        assert live.tails.dropped_rows == dropped > 80

    asyncio.run(go())


def test_the_rate_is_kept_and_the_rest_is_counted(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake, rows_per_s=10)
        reader = await live.tails.subscribe("acme", "logs")
        live.come(*({"n": n} for n in range(25)))
        one = await anext(reader.deliveries())
        assert (len(shown(one)), one.over_rate) == (10, 15)
        await live.clock.sleep(0.5)
        live.come(*({"n": n} for n in range(25)))
        two = await anext(reader.deliveries())
        assert (len(shown(two)), two.over_rate) == (5, 20)

    asyncio.run(go())


def test_one_delivery_is_bounded_in_bytes(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake, buffer_bytes_max=50_000)
        reader = await live.tails.subscribe("acme", "logs")
        live.come(*({"message": "x" * 5000} for _ in range(30)))
        one = await anext(reader.deliveries())
        assert len(shown(one)) + one.over_rate == 30
        assert 1 <= len(shown(one)) <= 10

    asyncio.run(go())


def test_a_tenant_has_so_many_and_the_end_is_clean(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake, subscribers_max=2, heartbeat_s=3)
        readers = [await live.tails.subscribe("acme", "logs") for _ in range(2)]
        with pytest.raises(Temporary, match="2 live tails"):
            await live.tails.subscribe("acme", "spans")
        await live.tails.subscribe("other", "logs")
        readers[0].close()
        readers[0].close()
        await live.tails.subscribe("acme", "spans")
        assert not (await anext(readers[1].deliveries())).rows
        live.tails.close()
        assert [one async for one in readers[1].deliveries()] == []
        with pytest.raises(Temporary, match="stops"):
            await live.tails.subscribe("third", "logs")

    asyncio.run(go())


def test_what_is_deleted_or_expired_is_not_shown(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake)
        live.come({"n": 1, "user": "a"}, {"n": 2, "user": "b"})
        condition = await Conditions(lake.catalog, lake.fresh).bind("acme", "logs", "user = 'a'")
        await lake.catalog.amend(Amendment(put=(Delete("d", "acme", "logs", condition, "", positions={0: 1}),)))
        await lake.catalog.amend(Amendment(put=(Retention("r", "acme", "logs", HOUR_S),)))
        reader = await live.tails.subscribe("acme", "logs", last=10)
        live.come({"n": 3, "user": "a"}, {"n": 4, "timestamp": NOW_NS - 2 * HOUR_S * 1_000_000_000})
        assert [row["n"] for row in await live.read(reader, 2)] == [2, 3]

    asyncio.run(go())


def test_a_replay_shows_nothing_twice(lake: Lake) -> None:
    async def go() -> None:
        live = Live(lake)
        live.come({"n": 0})
        reader = await live.tails.subscribe("acme", "logs")
        live.come({"n": 1})
        for at, batch in lake.fresh.fresh("acme", "logs"):
            live.tails.offer(Record(at, "acme", "logs", batch))
        live.come({"n": 2})
        assert [row["n"] for row in await live.read(reader, 2)] == [1, 2]

    asyncio.run(go())


VALUES = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["a", "b", "1"]))
ROWS = st.lists(st.fixed_dictionaries({"service": st.sampled_from(["web", "db", None]), "x": VALUES}), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, min_size=1, max_size=4), st.sampled_from(["x:1", "-x:a", "service:web OR x:b", "has:x", "x:>=1", ""]))
def test_the_same_rows_as_a_query(tmp_path_factory: pytest.TempPathFactory, batches: list[list[dict[str, Any]]], search: str) -> None:
    """Whatever comes, in batches of whatever types: a tail shows what the search finds."""
    from pulka.query.schema import logical_tables
    from pulka.query.search import to_sql

    lake = Lake(tmp_path_factory.mktemp("tail"))
    live = Live(lake, rows_per_s=1e6)
    live.come({"x": 0}, {"x": "z"}, {"service": "none"})
    numbered = [[{**row, "n": 10 * i + k} for k, row in enumerate(rows)] for i, rows in enumerate(batches, 1)]

    async def go() -> list[int]:
        reader = await live.tails.subscribe("acme", "logs", search=search)
        for rows in numbered:
            live.come(*rows)
        found: list[int] = []
        async for delivery in reader.deliveries():
            found += [row["n"] for row in shown(delivery)]
            if not delivery.rows and not delivery.over_rate and delivery.upto.sequence == live.sequence and not reader._queue.entries:
                return found
        return found

    shown_ = asyncio.run(go())
    table = logical_tables(lake.published(), lake.fresh.fresh_fields("acme"))["logs"]
    asked = [row[0] for row in lake.rows(to_sql(search, table, columns=["n"], order="any"))]
    assert sorted(shown_) == sorted(n for n in asked if n is not None)


