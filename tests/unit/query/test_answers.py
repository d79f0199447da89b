"""Answers that are kept: the same as asking anew, whatever comes, goes or is merged in between; within their room."""

import asyncio
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.query.conftest import ALWAYS, UNLIMITED, Lake

from pulka.clock import SystemClock
from pulka.model.rules import Condition, Delete, Retention
from pulka.model.windows import TimeRange
from pulka.query import DataFusionEngine
from pulka.query.answers import Answer, Answers, Kept
from pulka.seams import Amendment, Limits, Publication

ROWS = [{"timestamp": at, "service": f"s{at % 3}", "n": at} for at in range(100)]
SQL = "select service, count(*) as n from logs group by service order by service"


@pytest.fixture
def answers():
    return Answers(1 << 20)


@pytest.fixture
def lake(make_lake, answers):
    made = make_lake(answers=answers)
    made.store(ROWS)
    return made


def asked(lake, sql=SQL, **options):
    table, stats = lake.run(sql, **options)
    return table.to_pylist(), stats.cached


def test_the_second_time_nothing_is_read(lake):
    first, stats = lake.run(SQL)
    again, more = lake.run(SQL)
    assert again.equals(first)
    assert (stats.cached, more.cached) == (False, True)
    assert (more.rows, more.bytes_scanned, more.fragments_scanned, more.fragments_pruned["cached"]) == (3, 0, 0, 1)
    assert more.fragments_total == stats.fragments_total == 1


@pytest.mark.parametrize("sql", ["select n, now() from logs", "select n, random() from logs", "select current_date, n from logs", "select 1"])
def test_what_is_never_kept(lake, answers, sql):
    for _ in range(2):
        assert not lake.run(sql)[1].cached
    assert answers.bytes == 0


def test_what_makes_another_answer(lake):
    asked(lake)
    assert asked(lake)[1]
    assert asked(lake, tenant="other") == ([], False)
    assert not asked(lake, limits=Limits(rows=2))[1]
    assert asked(lake, limits=Limits(rows=2)) == ([{"service": "s0", "n": 34}, {"service": "s1", "n": 33}], True)
    assert asked(lake, window=TimeRange(50, 60))[0][0] == {"service": "s0", "n": 3}
    assert asked(lake, window=TimeRange(50, 60))[1]
    assert asked(lake, window=TimeRange(-5, 100))[1], "a window that cuts nothing is no window"
    lake.store([{"timestamp": 7, "service": "s0", "n": 1}])
    assert asked(lake) == ([{"service": "s0", "n": 35}, {"service": "s1", "n": 33}, {"service": "s2", "n": 33}], False)


def test_events_of_another_time_leave_an_answer_alone(lake):
    window = TimeRange(0, 100)
    asked(lake, window=window)
    lake.buffer([{"timestamp": 500, "service": "s0", "n": 1}])
    assert asked(lake, window=window)[1]
    lake.buffer([{"timestamp": 50, "service": "s0", "n": 1}], sequence=2)
    assert asked(lake, window=window) == ([{"service": "s0", "n": 35}, {"service": "s1", "n": 33}, {"service": "s2", "n": 33}], False)


def test_a_field_that_gets_another_type_elsewhere(lake):
    sql = "select n from logs where timestamp < to_timestamp_nanos(2) order by timestamp"
    assert asked(lake, sql) == ([{"n": 0}, {"n": 1}], False)
    assert asked(lake, sql) == ([{"n": 0}, {"n": 1}], True)
    lake.store([{"timestamp": 1000, "n": "text"}])
    assert asked(lake, sql) == ([{"n": "0"}, {"n": "1"}], False)


def test_what_is_about_to_expire_is_not_kept(lake):
    lake.store([{"timestamp": at, "service": "s0", "n": 1} for at in (0, SystemClock().now_ns())])
    policy = Retention("r", "acme", "logs", 1000)
    asyncio.run(lake.catalog.amend(Amendment(put=(policy,))))
    for _ in range(2):
        assert asked(lake) == ([{"service": "s0", "n": 1}], False)


async def test_an_answer_that_nobody_reads_to_its_end_is_not_kept(lake, answers):
    result = await lake.engine.run("select n from logs", "acme", ALWAYS, UNLIMITED)
    await anext(result.batches)
    await result.batches.aclose()
    assert answers.bytes == 0


def test_room():
    batch = pa.record_batch({"n": pa.array(range(1000), pa.int64())})
    kept = Answers(20_000)
    for number in range(10):
        kept.put(("t", f"{number}", ()), Answer(batch.schema, [batch]), 8000)
        assert kept.bytes <= 20_000
    assert kept.get(("t", "7", ())) is None
    assert kept.get(("t", "8", ())) is not None
    kept.put(("t", "10", ()), Answer(batch.schema, [batch]), 8000)
    assert kept.get(("t", "9", ())) is None, "the one used longest ago goes first"
    assert kept.get(("t", "8", ())) is not None
    none = Answers(0)
    none.put(("t", "1", ()), Answer(batch.schema), 0)
    assert none.bytes == 0


def test_answers_that_are_being_made_take_room_too():
    batch = pa.record_batch({"n": pa.array(range(120), pa.int64())})  # 960 bytes
    kept = Answers(8 * 1000)
    kept.put(("t", "old", ()), Answer(batch.schema, [batch]), 5000)
    made = [Kept(kept, ("t", f"{number}", ()), batch.schema) for number in range(9)]
    for one in made:
        one.add(batch)
    assert kept.bytes == 0, "what is kept goes before what is asked now"
    for one in made:
        one.end(truncated=False)
        assert kept.bytes <= 8 * 1000
    assert kept.get(("t", "8", ())) is None, "there was no room for the ninth"
    assert kept.get(("t", "7", ())).batches == [batch]


def test_what_is_too_large_or_given_up_gives_its_room_back():
    batch = pa.record_batch({"n": pa.array(range(120), pa.int64())})
    kept = Answers(8 * 1000)
    for number in range(20):
        one = Kept(kept, ("t", f"{number}", ()), batch.schema)
        for _ in range(number):
            one.add(batch)
        one.close()
    whole = Kept(kept, ("t", "whole", ()), batch.schema)
    whole.add(batch)
    whole.end(truncated=True)
    assert kept.get(("t", "whole", ())).truncated


QUESTIONS = (
    SQL,
    "select count(*) as c, sum(n) as s, min(m) as m from logs",
    "select n from logs order by timestamp desc, n desc limit 5",
    "select a.n from logs a join logs b on a.n = b.n where a.n < 3 order by a.n",
)
WINDOWS = (ALWAYS, TimeRange(10, 30))
EVENTS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["s0", "s1", "s2"])), min_size=1, max_size=6)
STEPS = st.lists(st.tuples(st.sampled_from(["store", "buffer", "publish", "merge", "delete", "ask", "ask"]), EVENTS), max_size=10)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_kept_answers_are_those_of_now(tmp_path_factory, steps):
    answers = Answers(1 << 20)
    lake = Lake(tmp_path_factory.mktemp("lake"), answers=answers)
    plain = DataFusionEngine(lake.catalog, lake.fresh, lake.files, clock=SystemClock())
    number, sequence, fragments, buffered = 0, 0, [], []

    def rows_of(events):
        nonlocal number
        number += len(events)
        return [{"timestamp": at, "service": name, "n": number + i, "m": f"m{at}"} for i, (at, name) in enumerate(events)]

    fragments.append((lake.store(rows := rows_of([(0, "s0")])), rows))

    def deletes_behind():
        return {one.deleted_upto for one in asyncio.run(lake.catalog.fragments("acme", "logs"))}  # the catalog marks what it is given

    def both_say_the_same():
        for sql in QUESTIONS:
            for window in WINDOWS:
                kept = lake.rows(sql, window=window)
                cached, lake.engine = lake.engine, plain
                assert lake.rows(sql, window=window) == kept
                lake.engine = cached

    for what, events in [*steps, ("ask", [])]:
        if what == "store":
            rows = rows_of(events)
            fragments.append((lake.store(rows), rows))
        elif what == "buffer":
            sequence += 1
            rows = rows_of(events)
            lake.buffer(rows, sequence=sequence)
            buffered.append((sequence, rows))
        elif what == "publish" and buffered:
            rows = [row for _, own in buffered for row in own]
            before = asyncio.run(lake.catalog.positions(0)).get(("acme", "logs"), 0)
            fragments.append((lake.store(rows, positions={(0, "acme", "logs"): (before, buffered[-1][0])}), rows))
            buffered = []
        elif what == "merge" and len(fragments) > 1 and len(marks := deletes_behind()) == 1:
            rows = [row for _, own in fragments for row in own]
            merged = lake.store(rows, table="scratch", tenant="nobody")
            asyncio.run(lake.catalog.publish(Publication(retire=(merged.id,))))
            one = replace(merged, tenant="acme", table="logs", deleted_upto=marks.pop())
            asyncio.run(lake.catalog.publish(Publication(add=(one,), retire=tuple(old.id for old, _ in fragments))))
            fragments = [(one, rows)]
        elif what == "delete":
            condition = Condition(f"service = '{events[0][1]}'", (("service", "str"),))
            delete = Delete(f"d{number}-{len(steps)}-{events[0][0]}", "acme", "logs", condition, "h", TimeRange(events[0][0], None), {0: sequence})
            asyncio.run(lake.catalog.amend(Amendment(put=(delete,))))
        else:
            both_say_the_same()
