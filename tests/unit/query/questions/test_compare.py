"""Comparisons over the real engine against plain counting."""

import asyncio
from collections import Counter
from math import asin, pi, sqrt

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.query.conftest import ALWAYS, UNLIMITED, Lake

from pulka.errors import BadQuery
from pulka.model.windows import TimeRange
from pulka.query.questions.compare import Comparison, compare
from pulka.query.questions.fields import statistics, values
from pulka.query.questions.selection import Selection
from pulka.seams import Limits

MEMORY = 64 << 20


def compared(lake, selection, baseline, tenant="acme", **more):
    asked = Comparison("logs", selection, baseline, limit=more.pop("limit", 100), values=100, **more)
    return asyncio.run(compare(lake.engine, asked, tenant, UNLIMITED, MEMORY))


def reference(counts, rows):
    """`crates/pulka-core/src/summary/effect.rs` in its own words: Cohen's h of every value beyond three standard errors, the largest."""
    if not all(rows):
        return 0.0
    arc = [[2 * asin(sqrt(count / total)) for count, total in zip(pair, rows, strict=True)] for pair in counts]
    return max(0.0, max(abs(a - b) for a, b in arc) - 3 * sqrt(1 / rows[0] + 1 / rows[1])) / pi


row = st.fixed_dictionaries(
    {"timestamp": st.integers(0, 1000), "service": st.sampled_from("abcd")},
    optional={"text": st.sampled_from(["x", "y", "z"]), "flag": st.booleans(), "sparse": st.sampled_from(["p", "q"]), "mixed": st.sampled_from(["t", True])},
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(row, min_size=2, max_size=300), st.integers(0, 2))
def test_effects_are_those_of_plain_counting(tmp_path_factory, rows, cut):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    at = len(rows) * cut // 2
    if rows[:at]:
        lake.store(rows[:at], residual=("sparse",))
    if rows[at:]:
        lake.buffer(rows[at:])
    found = compared(lake, Selection("service IN ('a', 'b')"), Selection("service NOT IN ('a', 'b')"))
    sides = [[one for one in rows if (one["service"] in "ab") == first] for first in (True, False)]
    totals = [len(side) for side in sides]
    assert list(found["rows"].values()) == totals
    effects = {one["field"]: one["effect"] for one in found["fields"]}
    for path in ("service", "text", "flag", "sparse", "mixed"):
        counted = [Counter(_shown(one.get(path)) for one in side) for side in sides]
        pairs = [(counted[0][value], counted[1][value]) for value in {*counted[0], *counted[1]}]
        known = any(path in one for one in rows)
        assert abs(effects.get(path, 0.0) - (reference(pairs, totals) if known else 0)) < 1e-3


def _shown(value):
    return str(value).lower() if isinstance(value, bool) else value


def test_windows_of_either_side(lake):
    lake.store([{"timestamp": at, "service": "a" if at < 500 else "b"} for at in range(1000)])
    found = compared(lake, Selection(window=TimeRange(600, 1000)), Selection(window=TimeRange(0, 400)))
    assert found["rows"] == {"selection": 400, "baseline": 400}
    (service,) = found["fields"]
    assert service["field"] == "service" and service["effect"] > 0.9
    (b,) = [one for one in service["values"] if one["value"] == "b"]
    assert b == {"value": "b", "counts": {"selection": 400, "baseline": 0}, "shares": {"selection": 1.0, "baseline": 0.0}, "difference": service["effect"]}


def test_the_other_events_are_the_baseline(lake):
    lake.store([{"timestamp": at, "service": "ab"[at % 2], "took": 10.0 + 90 * (at % 2) + at % 7} for at in range(1000)])
    chosen = Selection("took > 50", TimeRange(100, 900))
    found = compared(lake, chosen, chosen.others(TimeRange(0, 1000)))
    assert found["rows"] == {"selection": 400, "baseline": 600}
    assert {one["field"] for one in found["fields"]} == {"service", "took"}


def test_groups_tell_which_one_changed(lake):
    rows = [{"timestamp": at, "pod": f"p{at % 5}", "took": 10.0 + at % 7 + (100 if at >= 500 and at % 5 == 3 else 0)} for at in range(1000)]
    lake.store(rows)
    found = compared(lake, Selection(window=TimeRange(500, 1000)), Selection(window=TimeRange(0, 500)), by="pod")
    assert (found["fields"][0]["group"], found["fields"][0]["field"]) == ("p3", "took")
    assert found["fields"][0]["kind"] == "numbers"


def test_sparse_fields_by_the_hundred_are_read_once(lake):
    names = [f"field{number}" for number in range(300)]
    rows = [{"timestamp": at, **{names[at % 300]: "v", "odd": at % 2}} for at in range(1200)]
    lake.store(rows, residual=tuple(names))
    found = compared(lake, Selection("odd = 1"), Selection("odd = 0"))
    assert found["fields"][0]["field"] == "odd"
    assert found["stats"].rows == 1200


def test_conditions_that_ask_or_grow_are_refused(lake):
    lake.store([{"timestamp": 1, "service": "a"}])
    for where in ("service IN (SELECT service FROM logs)", "length(repeat('x', 100000000)) > 1", "nope = 1", "service ="):
        try:
            compared(lake, Selection(where), Selection())
            raise AssertionError(where)
        except BadQuery as error:
            assert error.message


def test_another_tenants_rows_are_in_no_comparison(lake):
    lake.store([{"timestamp": at, "secret": "mine"} for at in range(100)], tenant="other")
    lake.buffer([{"timestamp": at, "service": "a"} for at in range(10)])
    found = compared(lake, Selection("service = 'a'"), Selection())
    assert found["rows"] == {"selection": 10, "baseline": 10}
    assert "secret" not in str(found)


def test_field_statistics_are_plain_counts(lake):
    rows = [{"timestamp": at, "service": "abc"[at % 3], "took": float(at)} | ({"rare": f"r{at % 4}"} if at % 10 == 0 else {}) for at in range(300)]
    lake.store(rows[:200], residual=("rare",))
    lake.buffer(rows[200:], residual=("rare",))
    found, events, _ = asyncio.run(statistics(lake.engine, "logs", Selection("took >= 100"), "acme", Limits(), MEMORY, 10))
    assert events == 200
    assert found["service"]["top"] == [{"value": name, "count": count} for name, count in Counter(r["service"] for r in rows[100:]).most_common()]
    assert (found["service"]["present"], found["service"]["distinct"]) == (200, 3)
    assert found["rare"]["present"] == 20 and found["rare"]["distinct"] == 2
    numbers = found["took"]["numbers"]
    assert (numbers["min"], numbers["max"], numbers["count"]) == (100, 299, 200)
    assert abs(numbers["p50"] - 199) <= 2 and numbers["mean"] == 199.5


def test_values_begin_as_asked(lake, asked):
    lake.store([{"timestamp": at, "service": f"web-{at % 3}", "status": at % 2} for at in range(9)] + [{"timestamp": 9, "service": "db"}])

    async def found(field, beginning, where="TRUE"):
        return [(one["value"], one["count"]) for one in await values(asked(), "logs", field, beginning, where, ALWAYS, 2)]

    assert asyncio.run(found("service", "web")) == [("web-0", 3), ("web-1", 3)]
    assert asyncio.run(found("status", "")) == [("0", 5), ("1", 4)]
    assert asyncio.run(found("service", "", "status IS NULL")) == [("db", 1)]
    assert asyncio.run(found("service", "x'; --")) == []
