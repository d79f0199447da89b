"""Queries that run: listed without their literals, looked at, and stopped with all they have."""

import asyncio
import gc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.query.conftest import ALWAYS, UNLIMITED
from tests.unit.query.test_apart import BOMBS, children

from pulka.clock import SystemClock
from pulka.errors import BadInput, Cancelled, Conflict, NotFound, Temporary
from pulka.query.masked import masked
from pulka.query.queries import Queries, check_query_id
from pulka.query.turns import Turns, TurnSettings

ROWS = [{"timestamp": at, "service": f"s{at % 7}", "n": at} for at in range(2000)]


@pytest.fixture
def queries():
    return Queries()


@pytest.fixture
def lake(make_lake, queries):
    made = make_lake(queries=queries)
    made.store(ROWS)
    return made


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("select * from logs where user = 'jane@example.com' and n > 4711", "select * from logs where user = ? and n > ?"),
        ("select 'it''s', 0x1f, 1e9 from logs -- card 1234\nlimit 10", "select ?, ?, ? from logs   limit ?"),
        ('select "http.status", h2 from logs /* secret', 'select "http.status", h2 from logs'),
        ("select $$secret$$", "select ..."),
        (r"select E'a\'b secret'", "select ..."),
        ("select 'never closed", "select ?"),
    ],
)
def test_literals_are_not_shown(sql, shown):
    assert masked(sql) == shown


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.sampled_from(["select {} from logs", "select n, {} -- x", "select * from logs where a = {} and b = 2"]))
def test_no_text_of_a_literal_is_shown(text, form):
    secret = "s3cret" + text
    assert "s3cret" not in masked(form.format("'" + secret.replace("'", "''") + "'"))


@pytest.mark.parametrize("query_id", ["", "a b", "ä", "x" * 65, "../x", "-x"])
def test_what_cannot_be_an_id(query_id):
    with pytest.raises(BadInput):
        check_query_id(query_id)


async def test_a_query_is_known_while_it_runs_and_only_to_its_tenant(lake, queries):
    result = await lake.engine.run("select n from logs where service = 's1'", "acme", ALWAYS, UNLIMITED, "mine")
    (progress,) = queries.of("acme")
    assert (progress.id, progress.sql, result.stats.id) == ("mine", "select n from logs where service = ?", "mine")
    assert (progress.fragments_total, progress.fragments_done) == (1, 0)
    assert queries.of("other") == []
    for look in (queries.one, queries.cancel):
        with pytest.raises(NotFound):
            look("other", "mine")
    with pytest.raises(Conflict):
        await lake.engine.run("select 1", "acme", ALWAYS, UNLIMITED, "mine")
    assert sum([batch.num_rows async for batch in result.batches]) == 286
    assert (progress.fragments_done, progress.rows) == (1, 286)
    assert progress.bytes_read > 0
    await asyncio.sleep(0.01)
    assert queries.of("acme") == []


async def test_every_query_has_an_id(lake, queries):
    result = await lake.engine.run("select n from logs", "acme", ALWAYS, UNLIMITED)
    assert result.stats.id
    assert queries.one("acme", result.stats.id)
    await anext(result.batches)
    await result.batches.aclose()
    await asyncio.sleep(0.01)
    assert queries.of("acme") == []


@pytest.mark.parametrize("name", ["cross join", "skewed join", "growing recursion", "text"])
async def test_a_cancelled_query_is_gone_with_its_process(lake, queries, name):
    async def ask():
        result = await lake.engine.run(BOMBS[name], "acme", ALWAYS, UNLIMITED, "bomb")
        return [batch async for batch in result.batches]

    asked = asyncio.ensure_future(ask())
    while not children():
        await asyncio.sleep(0.01)
    queries.cancel("acme", "bomb")
    with pytest.raises(Cancelled, match="was cancelled"):
        await asked
    for _ in range(200):  # one that was only just starting is killed, but not waited for
        if not children():
            break
        await asyncio.sleep(0.01)
    assert children() == set()
    assert queries.of("acme") == []


async def test_a_query_that_nobody_reads_on_is_stopped_too(tmp_path, make_lake, queries):
    lake = make_lake(queries=queries, scratch=tmp_path)
    await asyncio.to_thread(lake.store, [{"timestamp": at, "n": at} for at in range(100_000)])
    result = await lake.engine.run("select n from logs", "acme", ALWAYS, UNLIMITED, "mine")
    await anext(result.batches)
    queries.cancel("acme", "mine")
    await asyncio.sleep(0.01)
    assert queries.of("acme") == []
    with pytest.raises(Cancelled):
        await anext(result.batches)
    gc.collect()
    assert list(Path(tmp_path).glob("pulka-query-*")) == []


async def test_a_query_that_waits_can_be_cancelled_and_takes_no_turn(make_lake, queries):
    turns = Turns(SystemClock(), TurnSettings(at_once=1, wait_s=60))
    lake = make_lake(queries=queries, turns=turns)
    await asyncio.to_thread(lake.store, ROWS)
    first = await lake.engine.run("select n from logs", "acme", ALWAYS, UNLIMITED)
    await anext(first.batches)
    waiting = asyncio.ensure_future(lake.engine.run("select n from logs", "acme", ALWAYS, UNLIMITED, "second"))
    await asyncio.sleep(0.01)
    assert queries.one("acme", "second").stage == "wait"
    queries.cancel("acme", "second")
    with pytest.raises(Cancelled):
        await waiting
    assert turns.waiting == 0
    await first.batches.aclose()
    await asyncio.sleep(0.01)
    assert turns.running == 0
    assert [batch async for batch in (await lake.engine.run("select n from logs", "acme", ALWAYS, UNLIMITED)).batches]


async def test_a_query_that_cannot_begin_is_forgotten(tmp_path, make_lake, queries):
    lake = make_lake(queries=queries, scratch=tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        await lake.engine.run("select 1", "acme", ALWAYS, UNLIMITED, "mine")
    await asyncio.sleep(0.01)
    assert queries.of("acme") == []


async def test_a_query_without_a_turn_says_so(make_lake):
    lake = make_lake(turns=Turns(SystemClock(), TurnSettings(at_once=1, wait_s=0.01)))
    await asyncio.to_thread(lake.store, ROWS)
    result = await lake.engine.run("select n from logs", "acme", ALWAYS, UNLIMITED)
    await anext(result.batches)
    with pytest.raises(Temporary, match="no turn came"):
        await lake.engine.run("select n from logs", "other", ALWAYS, UNLIMITED)
    await result.batches.aclose()
