from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.query.test_search_scan import EVENTS, FILTERS

from pulka.model.windows import TimeRange
from pulka.query import count_scan, reading

GROUPS = [
    ("service", "service"), ("service, trace_id", "1, 2"), ("size", "1"), ("mixed", "mixed"), ("rare", "rare"), ("message, rare", "1, 2"), ("ratio", "ratio"),
    ("cast(date_bin(interval '7 nanoseconds', timestamp) as bigint)", "date_bin(interval '7 nanoseconds', timestamp)"),
    ("floor(ratio / 2)", "floor(ratio / 2)"), ("size + 1", "1"), ("upper(service)", "upper(service)"), ("'all'", None),
]  # fmt: skip
AGGREGATES = ["count(*)", "count(*) as n, count(1)", "count(*), min(size), max(message)", "count(distinct size)", "count(*), count(distinct service)", "max(ratio)"]


@pytest.fixture
def counts(monkeypatch):
    """What the counts that run find."""
    ran, real = [], count_scan.count_rows

    async def noted(*arguments, **settings):
        ran.append(await real(*arguments, **settings))
        return ran[-1]

    monkeypatch.setattr(reading, "count_rows", noted)
    return ran


def same(table):
    """Rows in order, floats in words: NaN is no number."""
    return sorted(map(repr, (tuple(row.values()) for row in table.to_pylist())))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stored=st.lists(EVENTS.filter(bool), min_size=1, max_size=3), fresh=EVENTS, filters=FILTERS, group=st.sampled_from([1, 3, 100]),
    dictionary=st.booleans(), keys=st.sampled_from(GROUPS), aggregates=st.sampled_from(AGGREGATES), window=st.sampled_from([(None, None), (5, 30)]),
)  # fmt: skip
def test_a_counted_answer_equals_a_scanned_one(make_lake, stored, fresh, filters, group, dictionary, keys, aggregates, window):
    lake, plain = make_lake(), make_lake(search_bytes=0)
    for rows in stored:
        lake.store(rows, residual=("rare",), row_group_size=group, use_dictionary=dictionary, write_page_index=True, data_page_size=64)
    lake.buffer([*fresh, {"timestamp": 41, "message": "m", "service": "web", "trace_id": "c3", "size": 1, "ratio": 0.5, "mixed": "error", "rare": "error"}])
    plain.engine._reading._catalog, plain.engine._reading._fresh = lake.catalog, lake.fresh
    where = " and ".join(f"({one})" for one in filters)
    shown, grouped = keys
    sql = f"select {shown}, {aggregates} from logs where {where}" + (f" group by {grouped}" if grouped else "")
    ours, theirs = lake.run(sql, window=TimeRange(*window))[0], plain.run(sql, window=TimeRange(*window))[0]
    assert same(ours) == same(theirs)
    assert ours.schema.names == theirs.schema.names and ours.schema.types == theirs.schema.types


LOGS = [
    {
        "timestamp": i * 1_000_000_000, "service": f"s{i % 3}", "severity": "ERROR" if i % 10 == 0 else "INFO", "size": i % 50, "ratio": i / 7,
        "message": f"order {i} of {i % 7} was sent", "trace_id": f"{i:032x}",
    }
    for i in range(3000)
]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select count(*) from logs", 2),
        ("select service, count(*) as n from logs group by service having count(*) > 10 order by n desc, service limit 2", 6),
        ("select service, count(*) from logs where message like '%7 of%' and size < 40 group by service", 3),
        ("select count(distinct size), max(size) from logs where severity = 'ERROR'", 5),
        ("select distinct service from logs", 6),
        ("select date_trunc('minute', timestamp), count(*) from logs group by 1", 100),
        ("select bucket(timestamp, '10m') as m, service, count(*) from logs group by 1, 2", 30),
        ("select length(service), count(*) from logs where message ilike '%SENT' and trace_id is not null group by 1", 6),
        ("select l.service, count(*) from logs l where l.size in (1, 2, 3) group by 1", 9),
    ],
)
def test_few_rows_are_left_of_many(lake, make_lake, counts, sql, rows):
    plain = make_lake(search_bytes=0)
    for part in range(2):
        lake.store(LOGS[part::2], write_page_index=True)
    plain.engine._reading._catalog = lake.catalog
    table, stats = lake.run(sql)
    assert same(table) == same(plain.run(sql)[0])
    assert [(one.given_up, one.rows_found) for one in counts] == [(False, rows)]
    assert stats.rows_found == rows


@pytest.mark.parametrize(
    "sql",
    [
        "select message from logs where message like '%7 of%'",
        "select service, count(size) from logs group by service",
        "select service, sum(size) from logs group by service",
        "select trace_id, count(*) from logs group by trace_id",
        "select service, percentile(ratio, 0.9) from logs group by service",
        "select percentile(ratio, 0.9) from logs where ratio < 100",
        "select ratio, count(*) from logs where ratio > 3 group by ratio",
        "select service, count(*) over (partition by service) from logs limit 5",
        "select count(*) from (select service, count(*) as n from logs group by service)",
        "select count(*) from logs a join logs b on a.trace_id = b.trace_id",
        "select service, (select count(*) from logs) from logs group by service",
        "select count(*) from (select service from logs limit 5)",
        "select count(*) from (select service, size from logs where service <> 's1')",
        "select count(*) from logs where random() < 0.5",
        "select floor(random() * 10), count(*) from logs group by 1",
        "select count(distinct uuid()) from logs",
        "select max(random()), service from logs group by service",
    ],
)
def test_what_is_no_count_of_rows_is_not_counted(lake, counts, sql):
    lake.store(LOGS[:300], write_page_index=True)
    lake.run(sql)
    assert counts == []


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("select count(*) filter (where severity = 'ERROR') from logs", [(30,)]),
        ("select severity, count(*) filter (where size < 25) as few, count(*) as n from logs group by severity order by n", [("ERROR", 18, 30), ("INFO", 132, 270)]),
        ("select severity, max(size) filter (where size < 25), count(*) as n from logs group by severity order by n", [("ERROR", 20, 30), ("INFO", 24, 270)]),
        ("select count(*), count(*) filter (where size > 100) from logs", [(300, 0)]),
    ],
)
def test_a_filter_of_one_aggregate_holds(lake, sql, answer):
    lake.store(LOGS[:300], write_page_index=True)
    assert lake.rows(sql) == answer


LETTERS = "kKsSſKKıİiIéÉßẞ"


@pytest.mark.parametrize("operator", ["like", "ilike", "~", "~*"])
def test_a_letter_is_the_same_letter_to_a_count_as_to_a_scan(lake, make_lake, counts, operator):
    plain = make_lake(search_bytes=0)
    lake.store([{"timestamp": i, "service": f"s{i % 2}", "message": f"x {a}{b} y"} for i, (a, b) in enumerate([*product(LETTERS, LETTERS)] * 5)], write_page_index=True)
    plain.engine._reading._catalog = lake.catalog
    for letter in LETTERS:
        for pattern in (f"%{letter}%", f"x {letter}%", f"%{letter}_ y"):
            sought = pattern if "like" in operator else pattern.replace("%", "").replace("_", ".")
            sql = f"select service, count(*) from logs where message {operator} '{sought}' group by 1"
            assert same(lake.run(sql)[0]) == same(plain.run(sql)[0]), sql
    assert counts


@pytest.mark.parametrize("where", ["timestamp >= to_timestamp(30)", "timestamp >= to_timestamp(30) and timestamp < to_timestamp(1000)", "size > 3"])
@pytest.mark.parametrize("window", [TimeRange(), TimeRange(45 * 10**9, None)])
def test_times_that_are_alike_are_those_of_rows_that_count(lake, make_lake, where, window):
    plain = make_lake(search_bytes=0)
    lake.store(LOGS, write_page_index=True)
    plain.engine._reading._catalog = lake.catalog
    sql = f"select date_trunc('minute', timestamp), count(*) from logs where {where} group by 1"
    assert same(lake.run(sql, window=window)[0]) == same(plain.run(sql, window=window)[0])


def test_a_count_is_given_up_where_rows_differ(lake, counts):
    lake.store([{"timestamp": i, "size": i * i} for i in range(40_000)], write_page_index=True, use_dictionary=False)
    assert lake.rows("select count(distinct size) from logs") == [(40_000,)]
    assert [one.given_up for one in counts] == [True]


def test_percentiles_of_what_is_counted_are_near(lake, counts):
    lake.store([{"timestamp": i, "size": i, "ratio": float(i) ** 1.5} for i in range(50_000)], write_page_index=True)
    [(p50, p99)] = lake.rows("select percentile(ratio, 0.5), percentile(ratio, 0.99) from logs")
    assert p50 == pytest.approx(25_000**1.5, rel=0.01) and p99 == pytest.approx(49_500**1.5, rel=0.01)
    assert counts[0].rows_found < 20_000
