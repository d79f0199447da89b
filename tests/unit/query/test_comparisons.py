"""`compare` as a table in SQL: what the question says, in rows; in the query's own turn and within its bounds."""

import asyncio

import pytest

from pulka.clock import SystemClock
from pulka.errors import BadQuery, NotFound
from pulka.model.windows import TimeRange
from pulka.query.questions.compare import Comparison, compare
from pulka.query.questions.selection import Selection
from pulka.query.turns import Turns, TurnSettings

from .conftest import ALWAYS, UNLIMITED

ROWS = [
    {"timestamp": at, "severity": "ERROR" if at % 10 == 0 else "INFO", "pod": "bad's" if at % 10 == 0 else f"p{at % 3}", "ms": 900 + at if at % 10 == 0 else at % 50}
    for at in range(1000)
]  # fmt: skip


@pytest.fixture
def lake(make_lake):
    """With room for one query only: a comparison must not wait for a turn of its own."""
    made = make_lake(turns=Turns(SystemClock(), TurnSettings(at_once=1, wait_s=0.01)))
    made.store(ROWS[:700])
    made.buffer(ROWS[700:])
    return made


def asked(lake, selection, baseline):
    asked = Comparison("logs", selection, baseline, limit=50, values=5)
    return asyncio.run(compare(lake.engine, asked, "acme", UNLIMITED, 64 << 20))["fields"]


def test_it_says_what_the_question_says(lake):
    rows = lake.rows("select field, effect, value, selection, baseline, difference from compare('severity:error', 'severity:info')")
    found = asked(lake, Selection("severity = 'ERROR'"), Selection("severity = 'INFO'"))
    expected = [
        (one["field"], one["effect"], value["value"] if value["value"] is None else str(value["value"]), *value["counts"].values(), value["difference"])
        for one in found
        for value in one["values"]
    ]
    assert rows == expected
    assert ("pod", "bad's", 100, 0) in {(row[0], *row[2:5]) for row in rows}


def test_without_a_baseline_it_is_everything_else_of_the_window(lake):
    sql = "select selection, baseline from compare('severity:error') where value = 'bad''s'"
    assert lake.rows(sql) == lake.rows(sql.replace("error'", "error', null")) == [(100, 0)]
    assert lake.run(sql, window=TimeRange(0, 500))[0].to_pylist() == [{"selection": 50, "baseline": 0}]


def test_it_is_a_table_like_any_other(lake):
    sql = """with changed as (select * from compare('severity:error', 'severity:info', 'logs') as c)
        select l.pod, count(*) as n from logs l join changed on l.pod = changed.value and changed.field = 'pod' where l.severity = 'ERROR' group by 1 order by 1"""
    assert lake.rows(sql) == [("bad's", 100)]
    assert lake.rows("select count(*) from compare('severity:error') a join compare('severity:info') b on a.field = b.field and a.value = b.value")[0][0] > 0
    assert lake.rows("select 'compare(1)' as s, count(*) from logs -- compare(2)") == [("compare(1)", 1000)]
    assert lake.rows("select * from compare('severity:nothing')") == []


def test_its_work_is_counted_and_explained(lake):
    stats = lake.run("select count(*) as n from compare('severity:error')")[1]
    assert (stats.rows, stats.fragments_scanned, stats.fresh_rows) == (1, 1, 300)
    assert {"wait", "plan", "execute"} <= stats.time_ms.keys()
    assert "Values" in asyncio.run(lake.engine.explain("select * from compare('severity:error')", "acme", ALWAYS))["plan"]


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("select * from compare()", BadQuery),
        ("select * from compare('a', 'b', 'logs', 'c')", BadQuery),
        ("select * from compare(1)", BadQuery),
        ("select * from compare('servce:x')", BadQuery),
        ("select * from compare('x', 'y', 'nothing')", NotFound),
        ("select * from compare('x'", BadQuery),
        ("delete from compare('x')", BadQuery),
        ("select * from " + " , ".join(f"compare('x') c{number}" for number in range(5)), BadQuery),
    ],
)
def test_wrong_uses(lake, sql, error):
    with pytest.raises(error) as caught:
        lake.rows(sql)
    assert caught.value.hint


def test_another_tenant_has_its_own(lake):
    assert lake.run("select * from compare('severity:error')", tenant="other")[0].num_rows == 0
