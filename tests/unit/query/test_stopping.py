"""Queries whose work would go on for long are asked after at every batch; they answer the same, and end where nobody waits any more."""

import asyncio

import pyarrow as pa
import pytest
from datafusion import SessionContext

from pulka.query import stopping
from pulka.query.stopping import goes_on

from .conftest import ALWAYS, UNLIMITED

ROWS = [{"timestamp": at, "message": f"m{at % 500}", "n": at} for at in range(3000)]
DISTINCT = "select count(distinct concat(message, n)) as c, count(distinct message) as d from logs where n >= 10"


@pytest.fixture
def asked(monkeypatch):
    """How often a query asks whether it is over."""
    asked = []
    real = goes_on

    def counting(scan, is_over):
        return real(scan, lambda: asked.append(is_over()) or asked[-1])

    monkeypatch.setattr("pulka.query.binding.goes_on", counting)
    monkeypatch.setattr(stopping, "_ROWS_MIN", 1000)
    return asked


@pytest.mark.parametrize(
    ("sql", "asks"),
    [
        (DISTINCT, True),
        ("select count(*) from logs where regexp_like(message, '^m4[0-9]+$')", True),
        ("select count(*) from logs where message ~ '1'", True),
        ("select count(distinct n) from logs", False),
        ("select message, count(*) from logs group by message", False),
        ("select count(distinct message) from logs where n < 3", True),
    ],
)
def test_which_queries_are_asked_after(lake, make_lake, asked, sql, asks):
    plain = make_lake()
    for one in (lake, plain):
        one.store(ROWS[:2000])
        one.buffer(ROWS[2000:])
    expected = plain.rows(sql)
    del asked[:]
    assert sorted(map(repr, lake.rows(sql))) == sorted(map(repr, expected))
    assert bool(asked) == asks
    assert not any(asked)


def test_of_few_rows_none_is(lake, asked):
    lake.store(ROWS[:900])
    lake.rows(DISTINCT)
    assert asked == []


def test_filters_still_prune(lake, asked):
    lake.store(ROWS, row_group_size=100, write_page_index=True)
    plan = asyncio.run(lake.engine.explain(DISTINCT, "acme", ALWAYS))
    assert plan["tables"][0]["filters"]
    assert lake.rows(DISTINCT) == [(2990, 500)]


def test_a_query_that_is_over_reads_no_further_batch():
    session = SessionContext()
    batches = [pa.record_batch({"n": pa.array(range(at, at + 100))}) for at in range(0, 10_000, 100)]
    session.register_record_batches("t", [batches])
    read = []
    view = goes_on(session.table("t"), lambda: read.append(1) or len(read) > 3)
    with pytest.raises(Exception, match="over"):
        view.collect()
    assert len(read) < 10
    assert goes_on(session.table("t"), lambda: False).count() == 10_000


async def test_at_the_deadline_it_is_over(make_lake, asked):
    lake = make_lake()
    await asyncio.to_thread(lake.store, ROWS)
    result = await lake.engine.run(DISTINCT, "acme", ALWAYS, UNLIMITED)
    assert [batch.to_pylist() async for batch in result.batches] == [[{"c": 2990, "d": 500}]]
    assert asked
