import asyncio
import json
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulka import _native
from pulka.errors import LimitExceeded, PulkaError
from pulka.model.windows import TimeRange
from pulka.query import search_scan
from pulka.seams import Limits

TEXTS = st.one_of(
    st.text(st.sampled_from("abK \n%_\\'ßé\u212a"), max_size=8),
    st.lists(st.sampled_from(["error", "Error", "payment 47", " reset", "größe", "x" * 40]), max_size=3).map("".join),
)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"timestamp": st.integers(0, 40)},
        optional={
            "message": st.one_of(TEXTS, st.none()),
            "service": st.sampled_from(["web", "api", None]),
            "trace_id": st.sampled_from(["a1", "b2", "", None]),
            "size": st.one_of(st.integers(-3, 3), st.none()),
            "ratio": st.sampled_from([-1.5, 0.0, 2.5, float("inf"), float("nan")]),
            "mixed": st.one_of(st.integers(0, 3), st.sampled_from(["error", "3"]), st.just([1, "error"])),
            "rare": st.one_of(st.just("error rare"), st.none()),
        },
    ),
    max_size=30,
)
FILTERS = st.lists(
    st.sampled_from(
        [
            "message like '%error%'", "message ilike '%ERROR%'", "message like '%aKb%'", "message ilike '%k%'", "message like '% reset'",
            "message like 'payment%47%'", "message like '%\\%%'", "message = ''", "message like '%größe%'", "lower(message) like '%größe%'",
            "message not like '%error%'", "message like '%err%' or message like '%x%'", "message like '%err%' or size = 1",
            "contains(message, 'ment 47')", "message ~ 'err(or)? ?p'", "trace_id = 'a1'", "trace_id in ('a1', 'b2')", "trace_id = ''",
            "service = 'web'", "size > 0", "size between -1 and 1", "ratio > 1.0", "ratio <= 0.0", "mixed like '%error%'", "rare like '%error%'",
            "message is not null", "trace_id is null", "timestamp < to_timestamp_nanos(20)", "message like '%\n%'",
        ]
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip


@contextmanager
def searched(lake):
    """Count the searches that run."""
    ran, real = [], search_scan._run

    async def counted(*arguments):
        ran.append(await real(*arguments))
        return ran[-1]

    search_scan._run = counted
    try:
        yield ran
    finally:
        search_scan._run = real


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=st.lists(EVENTS.filter(bool), max_size=3), fresh=EVENTS, filters=FILTERS, group=st.sampled_from([1, 3, 100]), dictionary=st.booleans())
def test_a_searched_result_equals_a_scanned_one(make_lake, stored, fresh, filters, group, dictionary):
    lake, plain = make_lake(), make_lake(search_bytes=0)
    for rows in stored:
        lake.store(
            rows, residual=("rare",), row_group_size=group, use_dictionary=dictionary, write_page_index=True, data_page_size=64
        )
    lake.buffer([*fresh, {"timestamp": 41, "size": 1, "ratio": 0.5, "mixed": "error", "rare": "error"}])
    plain.engine._reading._catalog, plain.engine._reading._fresh = lake.catalog, lake.fresh
    where = " and ".join(f"({one})" for one in filters)
    sql = f"select cast(timestamp as bigint), message, service, trace_id, size, ratio, mixed, rare from logs where {where}"
    assert sorted(map(repr, lake.rows(sql))) == sorted(map(repr, plain.rows(sql)))


LOGS = [
    {
        "timestamp": i, "service": f"s{i % 3}", "message": f"order {i} of {i % 7} was {'lost' if i == 777 else 'sent'}",
        "trace_id": f"{i:032x}",
    }
    for i in range(3000)
]  # fmt: skip


def fill(lake, parts=3):
    for part in range(parts):
        lake.store(LOGS[part::parts], row_group_size=200, write_page_index=True, data_page_size=512, use_dictionary=["service"])


def test_matches_are_those_of_duckdb(lake):
    fill(lake)
    logs = pa.Table.from_pylist(LOGS)  # noqa: F841 - DuckDB finds it by name
    for condition in ("message like '%77 of%'", "message like '%lost%' and service = 's0'", f"trace_id = '{5:032x}'"):
        select = f"select cast(timestamp as bigint), message from logs where {condition} order by 1"
        with searched(lake) as ran:
            ours = lake.rows(select)
        assert ours == duckdb.sql(select).fetchall()
        assert len(ran) == 1 and not ran[0].given_up


@pytest.mark.parametrize(
    ("where", "runs"),
    [
        ("message like '%lost%'", True),
        ("message ilike '%LOST%' and service = 's0'", True),
        (f"trace_id in ('{1:032x}', '{2:032x}')", True),
        ("message like '%los%' or message like '%777%'", True),
        ("message like '%a%'", False),
        ("message like '%lost%' or service = 's0'", False),
        ("message not like '%lost%'", False),
        ("service = 's0'", False),
        ("message = 'x'", False),
    ],
)
def test_only_selective_filters_are_searched_for(lake, where, runs):
    fill(lake)
    with searched(lake) as ran:
        lake.rows(f"select message from logs where {where}")
    assert bool(ran) == runs


def test_statistics_tell_what_a_search_did(lake):
    fill(lake)
    sql = "select message from logs where message like '%lost%'"
    table, stats = lake.run(sql)
    assert (table.num_rows, stats.rows_found, stats.row_groups_total, stats.fragments_scanned) == (1, 1, 15, 3)
    assert 0 < stats.bytes_scanned < lake.run("select message from logs")[1].bytes_scanned


def test_row_groups_out_of_the_window_are_not_read(lake):
    lake.store(LOGS, row_group_size=200)
    _, stats = lake.run("select message from logs where message like '%order%'", window=TimeRange(400, 600))
    assert (stats.rows, stats.rows_found, stats.row_groups_pruned["min_max"]) == (200, 200, 14)


def test_a_search_that_finds_too_much_leaves_the_scan(make_lake):
    lake = make_lake(search_bytes=1000)
    fill(lake)
    table, stats = lake.run("select message from logs where message like '%order%'")
    assert (table.num_rows, stats.rows_found) == (3000, 0)


def test_a_mixed_or_residual_field_is_scanned_where_it_is_one(lake):
    lake.store([{"timestamp": 1, "Task": "reboot"}, {"timestamp": 2, "Task": 7}])
    lake.store([{"timestamp": 3, "Task": "boot"}], residual=("Task",))
    lake.store([{"timestamp": 4, "Task": "boots"}, {"timestamp": 5, "Task": "sleep"}])
    with searched(lake) as ran:
        assert sorted(lake.rows("select Task from logs where Task like '%boot%'")) == [("boot",), ("boots",), ("reboot",)]
    assert [found.rows_found for found in ran] == [1], "only the last fragment has one plain column"


def test_a_file_that_cannot_be_read_is_told_by_the_scan(lake, tmp_path):
    fill(lake)
    (tmp_path / "f1.parquet").write_bytes(b"PAR1 this is no fragment PAR1")
    with searched(lake) as ran, pytest.raises(PulkaError):
        lake.rows("select message from logs where message like '%lost%'")
    assert ran[0].given_up


async def test_a_query_past_its_time_cancels_the_search(make_lake, monkeypatch):
    lake = make_lake(time_s=0.2)
    await asyncio.to_thread(fill, lake)
    cancelled = asyncio.Event()

    class Slow:
        def __init__(self, *_, **__):
            self.loop = asyncio.get_running_loop()

        def run(self):
            return asyncio.run_coroutine_threadsafe(cancelled.wait(), self.loop).result()

        def cancel(self):
            cancelled.set()

    monkeypatch.setattr(_native, "Search", Slow)
    with pytest.raises(LimitExceeded):
        await lake.engine.run("select 1 from logs where message like '%lost%'", "acme", TimeRange(), Limits())
    await asyncio.wait_for(cancelled.wait(), 10)


def test_a_fragment_of_the_core_is_searched_by_its_words(tmp_path, make_lake):
    batch = pa.RecordBatch.from_pylist(
        [{"timestamp": i, "message": f"user {i * 7919 % 100_000} did {'not ' * (i == 4321)}this and that"} for i in range(20_000)],
        schema=pa.schema([pa.field("timestamp", pa.timestamp("ns", "UTC"), nullable=False), ("message", pa.string())]),
    )
    path = str(tmp_path / "f")
    described = _native.write_fragment([batch], path, declared={}, sort=["timestamp"], bloom=[], metadata={})
    assert json.loads(described)["rows"] == 20_000
    absent = _native.Search([(path, ["timestamp"], [("message", "text", [("contains", " nobody ")])])], bytes_max=1 << 20, threads=2).run()
    found = _native.Search([(path, ["timestamp"], [("message", "text", [("contains", " did not ")])])], bytes_max=1 << 20, threads=2).run()
    assert (absent.rows, found.rows) == (0, 1)
    assert absent.bytes_read < found.bytes_read
    assert found.batches[0][0].column("timestamp")[0].value == 4321
