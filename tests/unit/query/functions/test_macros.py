"""Macros: found as calls only, and what they become means what it should."""

import contextlib
import random

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulka.errors import BadQuery
from pulka.model.windows import TimeRange
from pulka.query.functions import Surroundings, expand
from pulka.query.schema import logical_tables

MINUTE = 60_000_000_000
LOGS = {"logs": logical_tables({}, {})["logs"]}


def expanded(sql, **around):
    return expand(sql, Surroundings(**around))


@pytest.mark.parametrize(
    "sql",
    [
        "select 'bucket(timestamp, 1)' from logs",
        'select "rate(" from logs',
        "select 1 -- json(a, 'b')\n from logs",
        "select /* search('x') */ bucket from logs",
        "select rate, search, json.a from logs",
        "select t.bucket(1) from t",
        "select my_rate(1), rates(2)",
    ],
)
def test_what_is_no_call_is_left_alone(sql):
    assert expanded(sql) == sql


def test_calls_within_calls():
    assert expanded("select rate(Rate(count(*), '2s'), '1m')") == "select (CAST((CAST(count(*) AS DOUBLE) / 2.0) AS DOUBLE) / 60.0)"


@pytest.mark.parametrize(
    "call",
    [
        "bucket(timestamp)", "bucket(timestamp, 5)", "bucket(timestamp, '0s')", "bucket(timestamp, 'often')", "bucket(timestamp, '1m'",
        "rate(1)", "rate(1, x)", "percentile(x)", "search()", "search(service)", "search(message, service)", "search(message, 'a:b')",
        "search(message, '(a')", "buckets('1m')", "buckets('1s', '1970-01-01', '2026-01-01')", "json(",
    ],
)  # fmt: skip
def test_wrong_uses_say_how_it_is_used(call):
    with pytest.raises(BadQuery) as told:
        expanded(f"select {call}", tables=LOGS)
    assert told.value.hint


def test_nesting_is_bounded():
    with pytest.raises(BadQuery, match="too deeply"):
        expanded("select " + "json(" * 500 + ")" * 500)


@given(st.text(alphabet="'\"()-/*, \nabcuketjson1.", max_size=60))
def test_any_text_is_expanded_or_refused(text):
    with contextlib.suppress(BadQuery):
        expanded(f"select {text} bucket({text})")


def events(count=300, seed=1):
    entropy = random.Random(seed)
    rows = [{"timestamp": entropy.randrange(0, 90 * MINUTE), "service": entropy.choice("abc"), "n": entropy.lognormvariate(3, 1)} for _ in range(count)]
    return sorted(rows, key=lambda row: row["timestamp"])


@pytest.mark.parametrize("width", ["500ms", "7s", "1m", "13m", "1h", "1d", "1w"])
def test_buckets_are_duckdbs(lake, width):
    rows = events()
    lake.store(rows[:200])
    lake.buffer(rows[200:])
    ours = lake.run(f"select cast(bucket(timestamp, '{width}') as bigint) as b, count(*) as n from logs group by 1 order by 1")[0]
    table = pa.table({"t": pa.array([row["timestamp"] // 1000 for row in rows], pa.timestamp("us"))})  # noqa: F841 - by name
    interval = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    number, unit = (width[:-2], "ms") if width.endswith("ms") else (width[:-1], width[-1])
    origin = "TIMESTAMP '1970-01-05'" if unit == "w" else "TIMESTAMP '1970-01-01'"
    sql = f"select epoch_us(time_bucket(INTERVAL '{number} {interval[unit]}', t, {origin})) * 1000, count(*) from table group by 1 order by 1"
    assert [tuple(row.values()) for row in ours.to_pylist()] == duckdb.sql(sql.replace("from table", "from \"table\"")).fetchall()


def test_gaps_are_filled(lake):
    lake.store([{"timestamp": at * MINUTE} for at in (0, 0, 3, 4)])
    sql = (
        "select coalesce(n, 0) from buckets('1m') b left join (select bucket(timestamp, '1m') as t, count(*) as n from logs group by 1) x "
        "on x.t = b.bucket order by b.bucket"
    )
    assert lake.rows(sql, window=TimeRange(0, 6 * MINUTE)) == [(2,), (0,), (0,), (1,), (1,), (0,)]
    named = sql.replace("buckets('1m')", "buckets('1m', '1970-01-01T00:02:30Z', '1970-01-01T00:04:00Z')")
    assert lake.rows(named) == [(0,), (1,)]


def test_rates_are_per_second(lake):
    lake.store([{"timestamp": at} for at in range(120)])
    assert lake.rows("select rate(count(*), '1m') from logs") == [(2.0,)]


def test_words_are_found_as_a_search_finds_them(lake):
    rows = [{"timestamp": at, "n": at, "message": text} for at, text in enumerate(["Connection reset", "connection open", "a reset", "100% reset, it's"])]
    lake.store(rows)
    for query in ("connection", "connection -reset", '"connection reset" OR open', "100%", "re*t", "it's"):
        literal = query.replace("'", "''")
        by_field = lake.rows(f"select n from logs where search(message, '{literal}') order by 1")
        assert by_field == lake.rows(f"select n from logs where search('{literal}') order by 1")
        assert by_field == lake.rows(f"select n from logs l where search(l.message, '{literal}') order by 1")
        assert by_field


def test_words_are_pruned_by_word_filters(lake):
    for at in range(3):
        lake.store([{"timestamp": at, "message": f"word{at} and more of them {n}"} for n in range(200)], sort=["message"])
    plan = lake.explain("select count(*) from logs where search(message, 'word1')")
    assert plan["tables"][0]["scanned"] == 1


def test_percentiles_and_sketches(lake):
    rows = events(5000)
    lake.store(rows[:3000])
    lake.buffer(rows[3000:])
    exact = sorted(row["n"] for row in rows)
    for q in (0.5, 0.9, 0.99):
        wanted = exact[int(q * len(exact)) - 1]
        (found, sketched, merged) = lake.rows(
            f"select percentile(n, {q}), sketch_quantile(quantile_sketch(n), {q}), "
            f"(select sketch_quantile(merge_sketches(s), {q}) from (select service, quantile_sketch(n) as s from logs group by service)) from logs"
        )[0]
        assert abs(found - wanted) < 0.05 * wanted
        assert abs(sketched - wanted) < 0.011 * wanted
        assert merged == sketched


def test_histograms_are_merged_into_one_sketch(lake):
    rows = [{"timestamp": n, "service": "ab"[n % 2], "scale": 0, "zeros": 1, "first": n % 3, "counts": [1, 0, 2]} for n in range(60)]
    lake.store([*rows[:40], {"timestamp": 70, "service": "a"}])
    lake.buffer([*rows[40:], {"timestamp": 71, "service": "c"}])
    merged = "merge_histograms(scale, zeros, first, counts)"
    found = lake.rows(f"select service, sketch_quantile({merged}, 0.2), sketch_quantile({merged}, 1) from logs group by service order by service")
    assert [(service, low) for service, low, _ in found] == [("a", 0.0), ("b", 0.0), ("c", None)]
    assert all(abs(high - 2**4.5) < 0.02 * 2**4.5 for _, _, high in found[:2]), "the middle of the bucket from 16 to 32"
    assert lake.rows(f"select sketch_quantile({merged}, 0.5) from logs where service = 'none'") == [(None,)]
    with pytest.raises(BadQuery, match="four fields"):
        lake.rows("select merge_histograms(scale) from logs")


def test_json_is_reached_into(lake):
    lake.store([{"timestamp": 1, "tags": {"a": {"b": [1, "x"]}, "0": None}}, {"timestamp": 2, "tags": ["y"]}, {"timestamp": 3, "tags": {"a": 'q"'}}])
    sql = "select json(tags, 'a.b[1]'), json(tags, 'a.b.0'), json(tags, 'a'), json(tags, '0') from logs order by timestamp"
    assert lake.rows(sql) == [("x", "1", '{"b":[1,"x"]}', None), (None, None, None, "y"), (None, None, 'q"', None)]
    with pytest.raises(BadQuery, match="path"):
        lake.rows("select json(tags, 'a..b') from logs")


def test_patterns_count_every_message(lake):
    rows = [{"timestamp": at, "service": "ab"[at % 2], "message": f"took {at} ms" if at % 3 else f"user u{at} gone away"} for at in range(300)]
    rows.append({"timestamp": 1, "service": "a"})
    lake.store(rows[:100])
    lake.buffer(rows[100:])
    found = [row[0] for row in lake.rows("select unnest(patterns(message)) from logs")]
    assert {one["pattern"]: one["count"] for one in found} == {"took <*> ms": 200, "user <*> gone away": 100}
    assert found[0]["sample"].startswith("took ")
    per_service = lake.rows("select service, patterns(message) from logs group by service order by service")
    assert [sum(one["count"] for one in patterns) for _, patterns in per_service] == [150, 150]
    assert lake.rows("select pattern(message), count(*) from logs group by 1 order by 2 desc limit 1") == [("took <*> ms", 200)]
    assert lake.rows("select patterns(message) from logs where service = 'none'") == [([],)]
