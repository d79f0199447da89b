"""Hostile SQL: refused, or bounded with an error that says so; and what it took is free again."""

import asyncio

import pytest
from tests.unit.query.bombs import BOMBS, processes_apart
from tests.unit.query.conftest import ALWAYS, UNLIMITED

from pulka.errors import BadQuery, LimitExceeded, PulkaError
from pulka.query import newest
from pulka.query.apart import Processes, grows, suspects
from pulka.seams import Limits

BRIEFLY = Limits(time_s=1.5)


@pytest.fixture
def lake(make_lake):
    made = make_lake(memory_bytes=128 << 20)
    made.store([{"timestamp": at, "service": "a", "n": at} for at in range(3000)])
    made.buffer([{"timestamp": at, "service": "a", "n": at} for at in range(3000)])
    return made


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_bounded_and_leave_nothing_behind(lake, name):
    with pytest.raises(PulkaError) as told:
        lake.rows(BOMBS[name], limits=BRIEFLY)
    assert isinstance(told.value, LimitExceeded | BadQuery), told.value
    assert told.value.message
    assert processes_apart() == set()
    assert lake.rows("select count(*) from logs") == [(6000,)]


def test_a_join_past_its_deadline_is_gone_with_its_process(lake):
    async def ask():
        result = await lake.engine.run(BOMBS["skewed join"].replace("count(*)", "sum(a.n + b.n)"), "acme", ALWAYS, Limits(time_s=5))
        at_work = processes_apart()
        with pytest.raises(LimitExceeded):
            [batch async for batch in result.batches]
        return at_work

    assert len(asyncio.run(ask())) == 1
    assert processes_apart() == set()


async def test_a_large_query_runs_apart_while_other_tenants_ask(make_lake, monkeypatch):
    monkeypatch.setattr(newest, "_FIRST_ROWS", 1)
    lake = make_lake(apart_bytes=1)
    for hour in range(3):
        await asyncio.to_thread(lake.store, [{"timestamp": hour * 100 + at, "n": hour * 100 + at} for at in range(100)])

    async def ask():
        result = await lake.engine.run("select n from logs where n % 100 = 7 order by timestamp desc limit 2", "acme", ALWAYS, UNLIMITED)
        at_work = len(processes_apart())
        return [n for batch in [one async for one in result.batches] for n in batch.column("n").to_pylist()], at_work

    assert await ask() == ([207, 107], 0)
    await lake.engine.explain("select 1", "other", ALWAYS)
    assert await ask() == ([207, 107], 1)
    assert processes_apart() == set()


def test_a_join_answers_as_ever(lake):
    assert lake.rows("select count(*) from logs a join logs b on a.n = b.n") == [(12_000,)]
    assert lake.rows("select lpad(service, 3, '-') as s, count(*) from logs group by 1") == [("--a", 6000)]
    with pytest.raises(BadQuery, match="no field `nope`"):
        lake.rows("select repeat(nope, 2) from logs")
    assert "logs" in str(lake.explain("select lpad(service, 3) from logs")["tables"])


def test_who_stops_reading_stops_the_work(lake):
    async def read_a_little():
        result = await lake.engine.run("select a.n from logs a join logs b on a.n < b.n", "acme", ALWAYS, UNLIMITED)
        async for _ in result.batches:
            break
        await result.batches.aclose()
        return processes_apart()

    assert asyncio.run(read_a_little()) == set()


def test_apart_sees_its_tenants_rows_only(lake):
    lake.store([{"timestamp": 1, "service": "theirs", "n": 1}], tenant="other")
    sql = "select count(*) from logs a join logs b on a.n = b.n where a.service = 'theirs' or b.service = 'theirs'"
    assert lake.rows(sql) == [(0,)]
    with pytest.raises(BadQuery):
        lake.rows("select lpad(secret, 2) from vault")
    with pytest.raises(BadQuery):
        lake.rows("select lpad(a, 2) from '/etc/passwd'")


@pytest.mark.parametrize("statement", ["select count(*) from logs", "select * from logs where message like '%x%'", "with a as (select 1 x) select * from a"])
def test_ordinary_queries_stay_here(statement):
    assert not grows(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select repeat('x', 9)", 'select "repeat" (\'x\', 9)', "select REPEAT/* ( */('x', 9)", "select repeat --\n('x', 9)", "select lpad('x', 9)",
        "with recursive r as (select 1) select * from r", "select " + "n + " * 700 + "1 from logs", "select service, patterns(message) from logs group by service",
        "select replace(replace(replace(replace(replace('x', 'x', 'xx'), 'x', 'xx'), 'x', 'xx'), 'x', 'xx'), 'x', 'xx')",
    ],
)  # fmt: skip
def test_what_grows_does_not(statement):
    assert grows(statement)


ROWS = [{"timestamp": at, "message": f"m{at % 500}", "n": at} for at in range(3000)]
SORT = "select message, n from logs where n >= 10 order by message, n"


@pytest.mark.parametrize(
    ("sql", "lingers"),
    [
        ("select count(distinct concat(message, n)) as c, count(distinct message) as d from logs where n >= 10", True),
        ("select count(*) from logs where regexp_like(message, '^m4[0-9]+$')", True),
        ("select count(*) from logs where message ~ '1'", True),
        ("select count(distinct n) from logs", False),
        ("select message, count(*) from logs group by message", False),
        ("select count(distinct message) from logs where n < 3", True),
        (SORT, True),
        ("select sum(r) from (select row_number() over (partition by message order by n) as r from logs)", True),
        ("select message, max(r) as r from (select message, rank() over (order by n) as r from logs) group by message order by message", True),
        ("select message, rank() over (order by count(*), message) as r from logs group by message order by message", False),
        (f"{SORT} limit 5", False),
        ("select message, count(*) as c from logs group by message order by c, message", False),
        ("select n from logs where message = ' Sort: , fetch=1 Aggregate: '", False),
    ],
)
def test_what_would_go_on_for_long_runs_apart(make_lake, monkeypatch, sql, lingers):
    """It answers the same; of few rows, and where a process takes long to start, it stays."""
    started, real = [], Processes.start

    def start(*arguments, **named):
        started.append(sql)
        return real(*arguments, **named)

    monkeypatch.setattr(Processes, "start", start)
    lake, slow = make_lake(), make_lake(processes=Processes(forks=False))
    for one in (lake, slow):
        one.store(ROWS[:2000])
        one.buffer(ROWS[2000:])
    in_order = (lambda rows: rows) if " order by message" in sql else (lambda rows: sorted(map(repr, rows)))
    expected = in_order(lake.rows(sql))
    monkeypatch.setattr(suspects, "_SLOW_ROWS_MIN", 1000)
    assert in_order(slow.rows(sql)) == expected
    assert started == []
    assert in_order(lake.rows(sql)) == expected
    assert bool(started) == lingers


def test_filters_of_what_lingers_still_prune(lake, monkeypatch):
    monkeypatch.setattr(suspects, "_SLOW_ROWS_MIN", 1000)
    lake.store(ROWS, row_group_size=100, write_page_index=True)
    sql = "select count(distinct message) from logs where n >= 2990 and message is not null"
    assert asyncio.run(lake.engine.explain(sql, "acme", ALWAYS))["tables"][0]["filters"]
    assert lake.rows(sql) == [(10,)]


def test_a_chain_of_operators_ends_its_own_process_at_most(lake):
    with pytest.raises(PulkaError):
        lake.rows("select n" + " + 1" * 20_000 + " from logs", limits=Limits(time_s=5))
    assert lake.rows("select n" + " + 1" * 100 + " from logs order by 1 limit 1") == [(100,)]


def test_regular_expressions_take_linear_time(lake):
    lake.store([{"timestamp": 1, "message": "a" * 5000}])
    assert lake.rows("select count(*) from logs where message ~ '^(a+)+$'") == [(1,)]
    with pytest.raises(BadQuery):
        lake.rows("select count(*) from logs where message ~ '((a{1000}){1000}){1000}'")


def test_giant_statements_are_refused(lake):
    with pytest.raises(PulkaError):
        lake.rows("select '" + "x" * (3 << 20) + "'")
    with pytest.raises(PulkaError):
        lake.rows("select " + "(" * 5000 + "1" + ")" * 5000)
    with pytest.raises(PulkaError):
        lake.rows("select " + "1+" * 200_000 + "1")
