"""The newest rows first: the same rows as reading everything, and older fragments left alone."""

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulka.query import newest
from pulka.seams import Limits

HOURS = [[{"timestamp": hour * 100 + at, "service": f"s{at % 3}", "n": hour * 100 + at} for at in range(100)] for hour in range(10)]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(newest, "_FIRST_ROWS", 100)


@pytest.fixture
def hours(lake):
    for rows in HOURS:
        lake.store(rows)
    return lake


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("select n from logs order by timestamp desc limit 5", 1),
        ("select n from logs l where l.n >= 0 order by l.timestamp desc, n limit 150", 2),
        ("select n from logs where service = 's1' order by timestamp desc limit 34", 5),
        ("select n from logs where n < 500 order by timestamp desc limit 5", 5),
        ("select n from logs where n < 3 order by timestamp desc limit 5", 1),
        ("select * from (select timestamp, n from logs where n > 5) order by timestamp desc limit 5", 1),
        ("select n from logs order by timestamp desc", 10),
        # Not of the form: everything is read.
        ("select n from logs order by timestamp limit 5", 10),
        ("select n from logs order by n desc limit 5", 10),
        ("select n from logs order by timestamp desc limit 5 offset 2", 10),
        ("select distinct n, timestamp from logs order by timestamp desc limit 5", 10),
        ("select n from (select n, -n as timestamp from logs) logs order by logs.timestamp desc limit 5", 10),
        ("select n from (select n, -n as timestamp from logs) order by timestamp desc limit 5", 10),
        ("select count(*) as n from logs group by timestamp order by timestamp desc limit 5", 10),
        ("select n from (select * from logs order by timestamp desc limit 9) where n < 995 order by timestamp desc limit 3", 10),
    ],
)
def test_fragments_that_are_read(hours, sql, read):
    con = duckdb.connect()
    con.execute("create table logs as select unnest($rows, recursive := true)", {"rows": [row for rows in HOURS for row in rows]})
    table, stats = hours.run(sql)
    assert table.column("n").to_pylist() == con.execute(f"select n from ({sql})").to_arrow_table().column("n").to_pylist()
    assert stats.fragments_scanned == read
    assert stats.fragments_scanned + sum(stats.fragments_pruned.values()) == stats.fragments_total == 10


def test_the_limit_on_rows_still_says_that_it_cut(hours):
    table, stats = hours.run("select n from logs order by timestamp desc limit 50", limits=Limits(rows=20))
    assert (table.num_rows, stats.truncated, stats.rows) == (20, True, 20)
    table, stats = hours.run("select n from logs order by timestamp desc", limits=Limits(rows=120))
    assert (table.column("n").to_pylist(), stats.truncated) == (list(range(999, 879, -1)), True)
    assert stats.fragments_scanned == 5
    table, stats = hours.run("select n from logs order by timestamp desc limit 20", limits=Limits(rows=20))
    assert (table.num_rows, stats.truncated) == (20, False)


def test_explain_says_how_many_fragments_each_step_reads(hours):
    assert hours.explain("select n from logs order by timestamp desc limit 5")["newest_first"] == [1, 4, 5]
    assert "newest_first" not in hours.explain("select count(*) from logs")


def test_behind_a_search_there_are_two_steps(lake):
    for hour in range(10):
        lake.store([{"timestamp": hour * 100 + at, "message": f"request {hour} {at} done"} for at in range(100)])
    table, stats = lake.run("select message from logs where message like '%request 3 7 %' order by timestamp desc limit 5")
    assert table.num_rows == 1
    assert stats.fragments_total == 10
    table, stats = lake.run("select message from logs where message like '%request%' order by timestamp desc limit 5")
    assert table.column("message").to_pylist() == [f"request 9 {at} done" for at in range(99, 94, -1)]
    assert stats.fragments_pruned["newest"] == 9


EVENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, max_size=6), EVENTS, st.integers(1, 12), st.sampled_from(["true", "n = 1", "n > 1 or n is null", "m is not null"]))
def test_they_are_the_newest_rows(tmp_path_factory, monkeypatch, fragments, fresh, limit, where):
    from tests.unit.query.conftest import Lake

    monkeypatch.setattr(newest, "_FIRST_ROWS", 1)
    lake = Lake(tmp_path_factory.mktemp("lake"))
    number, rows = 0, []

    def numbered(events):
        nonlocal number
        made = []
        for at, n in events:
            number += 1
            made.append({"timestamp": at, "n": n if n else None, "id": number} | ({"m": "x"} if at % 2 else {}))
        rows.extend(made)
        return made

    lake.store([{"timestamp": 0, "n": 1, "m": "x", "id": -1}])
    rows.append({"timestamp": 0, "n": 1, "m": "x", "id": -1})
    for one in fragments:
        lake.store(numbered(one))
    lake.buffer(numbered(fresh))
    keep = {"true": lambda r: True, "n = 1": lambda r: r["n"] == 1, "n > 1 or n is null": lambda r: r["n"] is None or r["n"] > 1, "m is not null": lambda r: "m" in r}[where]
    expected = sorted((row for row in rows if keep(row)), key=lambda row: (-row["timestamp"], row["id"]))[:limit]
    found = lake.rows(f"select id from logs where {where} order by timestamp desc, id limit {limit}")
    assert found == [(row["id"],) for row in expected]


def test_a_type_in_an_older_fragment_only(lake):
    lake.store([{"timestamp": 1, "v": "text", "n": 1}])
    for hour in range(1, 6):
        lake.store([{"timestamp": hour * 1000 + at, "v": at, "n": at} for at in range(100)])
    assert lake.rows("select v from logs order by timestamp desc limit 2") == [("99",), ("98",)]
    assert lake.rows("select v from logs where n = 1 order by timestamp desc limit 9")[-1] == ("text",)
