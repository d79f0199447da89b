import duckdb
import pytest

from pulka.errors import BadQuery, LimitExceeded
from pulka.model.windows import TimeRange
from pulka.seams import Limits

EVENTS = [
    {"timestamp": i, "service": f"s{i % 3}", "http.status_code": 200 + i % 4 * 100, "duration": i / 4, "ok": i % 2 == 0}
    for i in range(40)
]


def test_results_equal_duckdb_over_fragments_and_fresh(lake):
    lake.store(EVENTS[:15])
    lake.store(EVENTS[15:30])
    lake.buffer(EVENTS[30:])
    import pyarrow as pa

    events = pa.Table.from_pylist(EVENTS)  # noqa: F841 - DuckDB finds it by name
    select = (
        "select service, count(*), sum({0}), max(duration), count(*) filter (where ok) from {1} group by 1 order by 1"
    )
    ours = lake.rows(select.format("http.status_code", "logs"))
    assert ours == duckdb.sql(select.format('"http.status_code"', "events")).fetchall()


@pytest.mark.parametrize("name", ["logs", "spans", "metrics", "changes"])
def test_a_well_known_table_exists_before_its_first_event(lake, name):
    assert lake.rows(f"select count(*), max(service) from {name}") == [(0, None)]


def test_mixed_types_are_shown_as_text_and_numbers_as_floats(lake):
    lake.store([{"timestamp": 1, "Task": "boot", "n": 1}, {"timestamp": 2, "Task": 7, "n": 2.5}])
    lake.store([{"timestamp": 3, "Task": True}, {"timestamp": 4, "Task": 1.5}, {"timestamp": 5, "Task": [1, "a"]}])
    lake.buffer([{"timestamp": 6, "Task": 8}, {"timestamp": 7, "n": 3}])
    assert lake.rows("select Task, n from logs order by timestamp") == [
        ("boot", 1.0), ("7", 2.5), ("true", None), ("1.5", None), ('[1,"a"]', None), ("8", None), (None, 3.0)
    ]  # fmt: skip
    assert lake.rows("select count(*) from logs where Task = '7' or n > 2.6") == [(2,)]


def test_a_residual_field_reads_as_any_other(lake):
    rows = [{"timestamp": 1, "rare": 3, "odd": "x"}, {"timestamp": 2, "odd": 4}, {"timestamp": 3}]
    lake.store(rows, residual=("rare", "odd"))
    lake.store([{"timestamp": 4, "rare": 5, "odd": "y"}])
    lake.buffer([{"timestamp": 5, "rare": 6}], residual=("rare",))
    assert lake.rows("select rare, odd from logs order by timestamp") == [
        (3, "x"), (None, "4"), (None, None), (5, "y"), (6, None)
    ]  # fmt: skip
    assert lake.rows("select sum(rare) from logs where rare in (3, 6)") == [(9,)]
    assert lake.rows("select count(*) from logs where rare is null") == [(2,)]


def test_names_that_differ_by_case_stay_apart(lake):
    lake.store([{"timestamp": 1, "User": "a", "user": "b"}])
    lake.store([{"timestamp": 2, "user": "c"}])
    assert lake.rows('select "User", "user" from logs order by timestamp') == [("a", "b"), (None, "c")]


def test_one_physical_name_with_two_types_in_two_fragments(lake):
    lake.store([{"timestamp": 1, "x": "a"}])
    lake.store([{"timestamp": 2, "x": 5}])
    assert lake.rows("select x from logs order by timestamp") == [("a",), ("5",)]


def test_select_star_shows_well_known_fields_first_then_the_others_by_name(lake):
    lake.store([{"timestamp": 1, "zeta": 1, "alpha": 2, "service": "s"}])
    table, _ = lake.run("select * from changes")
    assert table.schema.names[:2] == ["timestamp", "event_id"]
    table, _ = lake.run("select * from logs")
    assert table.schema.names[-2:] == ["alpha", "zeta"]
    assert table.num_rows == 1


def test_six_hundred_fields(lake):
    row = {"timestamp": 1} | {f"deep.field_{i}": i for i in range(600)}
    lake.store([row])
    lake.store([row | {"timestamp": 2, "deep.field_7": "text"}], residual=("deep.field_8",))
    assert lake.rows("select deep.field_599, deep.field_7, deep.field_8 from logs order by timestamp") == [
        (599, "7", 8), (599, "text", 8)
    ]  # fmt: skip
    assert lake.run("select * from logs")[0].num_columns > 600


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select service from (select service, duration from logs) where duration >= 9.5", [("s2",), ("s0",)]),
        ("with x(a, b) as (select service, duration from logs) select a from x where b = 9.75", [("s0",)]),
        ("select l.service from logs l join logs m on l.timestamp = m.timestamp where m.duration = 9.75", [("s0",)]),
        ("select max(duration) from logs where duration < (select max(duration) from logs)", [(9.5,)]),
        ("select duration > (select max(duration) from logs where service = 's1') from logs where timestamp = to_timestamp_nanos(39)", [(True,)]),
        ("select count(*) from logs where exists (select 1 from spans)", [(0,)]),
        ("select count(*) from logs where false", [(0,)]),
        ("select max(service) from (select * from logs union all select * from logs)", [("s2",)]),
        ("select t.a from logs as t(ts, e, a) where t.ts = to_timestamp_nanos(1)", BadQuery),
        ("select service from logs;", None),
        ("(select 1)", [(1,)]),
    ],
)  # fmt: skip
def test_queries_of_many_forms(lake, sql, expected):
    lake.store(EVENTS[:38])
    lake.buffer(EVENTS[38:])
    if expected is BadQuery:
        with pytest.raises(BadQuery):
            lake.rows(sql)
    elif expected is not None:
        assert sorted(lake.rows(sql)) == sorted(expected)


def test_the_window_bounds_every_table(lake):
    lake.store(EVENTS[:20])
    lake.store(EVENTS[20:30])
    lake.buffer(EVENTS[30:])
    table, stats = lake.run("select count(*) from logs", window=TimeRange(25, 35))
    assert table.to_pylist() == [{"count(*)": 10}]
    assert (stats.fragments_total, stats.fragments_pruned["time"], stats.fragments_scanned) == (2, 1, 1)


def test_a_batch_published_during_the_query_is_seen_once(lake):
    lake.buffer(EVENTS[:10], sequence=1)
    lake.store(EVENTS[:10], positions={(0, "acme", "logs"): (0, 1)})
    lake.buffer(EVENTS[10:12], sequence=2)
    assert lake.rows("select count(*) from logs") == [(12,)]


async def test_a_publication_between_fresh_and_snapshot_is_seen_once(tmp_path, make_lake, monkeypatch):
    lake = make_lake()
    lake.buffer(EVENTS[:10], sequence=1)
    import asyncio

    snapshot = lake.catalog.snapshot

    async def publish_then_snapshot(tenant, table, window):
        await asyncio.to_thread(lake.store, EVENTS[:10], positions={(0, "acme", "logs"): (0, 1)})
        return await snapshot(tenant, table, window)

    monkeypatch.setattr(lake.catalog, "snapshot", publish_then_snapshot)
    result = await lake.engine.run("select timestamp from logs", "acme", TimeRange(), Limits())
    assert sum([batch.num_rows async for batch in result.batches]) == 10


def test_statistics_and_explain(lake):
    for start in range(0, 40, 10):
        lake.store(EVENTS[start : start + 10])
    lake.buffer(EVENTS[:3])
    sql = "select service from logs where duration between 3 and 4 and timestamp < to_timestamp_nanos(30)"
    _, stats = lake.run(sql)
    assert (stats.fragments_total, stats.fragments_scanned, stats.fresh_rows) == (4, 1, 3)
    assert {means: count for means, count in stats.fragments_pruned.items() if count} == {"time": 1, "min_max": 2}
    assert list(stats.fragments_pruned) == ["time", "existence", "min_max", "values", "automaton", "words"]
    assert stats.rows == 5
    assert set(stats.time_ms) == {"wait", "plan", "prune", "fetch", "search", "execute"}
    funnel = lake.explain(sql)["tables"][0]
    assert (funnel["table"], funnel["scanned"], funnel["fresh_rows"]) == ("logs", 1, 3)
    assert funnel["columns"] == ["duration", "service", "timestamp"]
    assert "duration" in funnel["filters"][0]


def test_rows_beyond_the_limit_are_cut_and_said_so(lake):
    lake.store(EVENTS)
    table, stats = lake.run("select service from logs", limits=Limits(rows=7))
    assert (table.num_rows, stats.rows, stats.truncated) == (7, 7, True)
    _, stats = lake.run("select service from logs", limits=Limits(rows=40))
    assert (stats.rows, stats.truncated) == (40, False)


def test_a_query_that_runs_too_long_names_the_setting(make_lake):
    lake = make_lake(time_s=0.3)
    with pytest.raises(LimitExceeded) as caught:
        lake.rows("select sum(value) from generate_series(1, 1000000000000)")
    assert "query_time_s" in caught.value.hint


def test_a_query_that_needs_too_much_memory_names_the_setting(make_lake):
    lake = make_lake(memory_bytes=2 << 20)
    with pytest.raises(LimitExceeded) as caught:
        lake.rows(
            "select count(*) from generate_series(1, 900000) a join generate_series(1, 900000) b on a.value = b.value"
        )
    assert "query_memory_bytes" in caught.value.hint


async def test_closing_the_stream_early_removes_what_the_query_left(tmp_path, make_lake):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    lake = make_lake(scratch=scratch)
    result = await lake.engine.run("select value from generate_series(1, 100000000)", "acme", TimeRange(), Limits())
    assert (await anext(result.batches)).num_rows > 0
    assert any(scratch.iterdir())
    await result.batches.aclose()
    assert not any(scratch.iterdir())


def test_a_type_that_arrives_while_a_query_is_planned(lake, monkeypatch):
    lake.store([{"timestamp": 1, "value": 5}])
    real, arriving = lake.fresh.fresh, [{"timestamp": 2, "value": "five"}]

    def fresh(tenant, table):
        if arriving:
            lake.buffer([arriving.pop()])
        return real(tenant, table)

    monkeypatch.setattr(lake.fresh, "fresh", fresh)
    assert lake.rows("SELECT value FROM logs ORDER BY timestamp") == [("5",), ("five",)]


def test_a_field_that_leaves_the_buffer_while_the_tables_are_looked_up(lake, monkeypatch):
    lake.buffer([{"timestamp": 2, "value": "new"}])
    real = lake.catalog.tables

    async def tables(tenant):
        found = await real(tenant)
        lake.fresh._batches.clear()
        return found

    monkeypatch.setattr(lake.catalog, "tables", tables)
    assert lake.rows("SELECT value FROM logs") == []
