"""Hostile SQL: refused, or bounded with an error that says so; and what it took is free again."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.unit.query.conftest import ALWAYS, UNLIMITED

from pulka.errors import BadQuery, LimitExceeded, PulkaError
from pulka.query import newest
from pulka.query.apart import grows
from pulka.seams import Limits

BRIEFLY = Limits(time_s=1.5)
BOMBS = {
    "cross join": "select sum(a.n * b.n + c.n) from logs a, logs b, logs c",
    "unequal join": "select count(*) from logs a join logs b on a.n < b.n join logs c on b.n < c.n",
    "skewed join": "select count(*) from logs a join logs b using (service) join logs c using (service)",
    "self semi join": "select count(*) from logs a where exists (select 1 from logs b, logs c where b.n + c.n > a.n)",
    "recursion": "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
    "growing recursion": "with recursive r as (select 'x' as s union all select s || s from r) select count(*) from r",
    "series": "select count(*) from generate_series(1, 100000000000) a, generate_series(1, 100000) b",
    "array": "select count(*) from unnest(range(0, 4000000000))",
    "text": "select length(repeat('x', 2000000000))",
    "padding": "select length(lpad('x', 2000000000))",
    "copied clauses": "with a as (select * from logs), "
    + ", ".join(f"{new} as (select x.n from {old} x, {old} y, {old} z)" for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    + " select count(*) from i",
    "doubled text": "with a as (select 'xxxxxxxxxxxxxxxx' s), "
    + ", ".join(f"{new} as (select s||s||s||s||s||s||s||s as s from {old})" for old, new in zip("abcdefghij", "bcdefghijk", strict=True))
    + " select length(s) from k",
}


@pytest.fixture
def lake(make_lake):
    made = make_lake(memory_bytes=128 << 20)
    made.store([{"timestamp": at, "service": "a", "n": at} for at in range(3000)])
    made.buffer([{"timestamp": at, "service": "a", "n": at} for at in range(3000)])
    return made


def children() -> set[int]:
    return {int(folder.name) for folder in Path("/proc").glob("[0-9]*") if is_ours(folder)}


def is_ours(process: Path) -> bool:
    try:
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == os.getpid() and b"apart.child import main" in (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
        return False


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_bounded_and_leave_nothing_behind(lake, name):
    with pytest.raises(PulkaError) as told:
        lake.rows(BOMBS[name], limits=BRIEFLY)
    assert isinstance(told.value, LimitExceeded | BadQuery), told.value
    assert told.value.message
    assert children() == set()
    assert lake.rows("select count(*) from logs") == [(6000,)]


def test_a_join_past_its_deadline_is_gone_with_its_process(lake):
    async def ask():
        result = await lake.engine.run(BOMBS["skewed join"].replace("count(*)", "sum(a.n + b.n)"), "acme", ALWAYS, Limits(time_s=5))
        at_work = children()
        with pytest.raises(LimitExceeded):
            [batch async for batch in result.batches]
        return at_work

    assert len(asyncio.run(ask())) == 1
    assert children() == set()


async def test_a_large_query_runs_apart_while_other_tenants_ask(make_lake, monkeypatch):
    monkeypatch.setattr(newest, "_FIRST_ROWS", 1)
    lake = make_lake(apart_bytes=1)
    for hour in range(3):
        await asyncio.to_thread(lake.store, [{"timestamp": hour * 100 + at, "n": hour * 100 + at} for at in range(100)])

    async def ask():
        result = await lake.engine.run("select n from logs where n % 100 = 7 order by timestamp desc limit 2", "acme", ALWAYS, UNLIMITED)
        at_work = len(children())
        return [n for batch in [one async for one in result.batches] for n in batch.column("n").to_pylist()], at_work

    assert await ask() == ([207, 107], 0)
    await lake.engine.explain("select 1", "other", ALWAYS)
    assert await ask() == ([207, 107], 1)
    assert children() == set()


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
        return children()

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
