"""Services and the map, from spans whose answer is known."""

from pulka.model.windows import TimeRange
from pulka.query.questions.context import context
from pulka.query.questions.patterns import patterns
from pulka.query.questions.selection import Selection
from pulka.query.questions.services import Fields, map_of, services

SECOND = 1_000_000_000
WINDOW = TimeRange(0, 10 * SECOND)


def spans():
    for n in range(20):
        at, trace = n * SECOND // 2, f"t{n}"
        failed = {"status": "error"} if n % 4 == 0 else {"status": "ok"}
        yield {"timestamp": at, "trace_id": trace, "span_id": "1", "service": "web", "kind": "server", "duration_ns": 100, **failed}
        yield {"timestamp": at, "trace_id": trace, "span_id": "2", "parent_span_id": "1", "service": "web", "kind": "client", "duration_ns": 90}
        yield {"timestamp": at, "trace_id": trace, "span_id": "3", "parent_span_id": "2", "service": "cart", "kind": "server", "duration_ns": 80, **failed}
        yield {"timestamp": at, "trace_id": trace, "span_id": "4", "parent_span_id": "3", "service": "cart", "kind": "client", "duration_ns": 50, "db.system": "pg"}


NO_FIELDS = Fields((), ())


def fields(lake):
    """Of the tables of the tenant that stores."""
    fresh, published = lake.fresh.fresh_fields("acme"), lake.published()
    tables = [fresh.get(name, {}).keys() | (published[name].fields.keys() if name in published else set()) for name in ("spans", "metrics")]
    return Fields(*tables)


def stored(lake):
    rows = list(spans())
    lake.store(rows[:41], table="spans")
    lake.buffer(rows[41:], table="spans")


def test_services_have_rate_errors_and_duration(lake, asked, wait):
    stored(lake)
    found = wait(services(asked(window=WINDOW), WINDOW, fields(lake)))
    assert [(one["service"], one["requests"], one["errors"], one["rate"], one["error_share"], one["p50_ns"]) for one in found] == [
        ("cart", 20, 5, 2.0, 0.25, 80), ("web", 20, 5, 2.0, 0.25, 100),
    ]  # fmt: skip
    assert wait(services(asked(tenant="other"), WINDOW, NO_FIELDS)) == []


def test_the_map_has_services_and_what_they_use(lake, asked, wait):
    stored(lake)
    found = wait(map_of(asked(window=WINDOW), WINDOW, fields(lake)))
    edges = {(one["client"], one["server"]): (one["requests"], one["errors"], one["p50_ns"]) for one in found["edges"]}
    assert edges == {("web", "cart"): (20, 5, 80), ("cart", "pg"): (20, 0, 50)}
    assert {one["service"]: one["kind"] for one in found["nodes"]} == {"web": "service", "cart": "service", "pg": "peer"}
    assert wait(map_of(asked(tenant="other"), WINDOW, NO_FIELDS))["edges"] == []


def test_the_map_without_any_peer_field(lake, asked, wait):
    lake.store([{"timestamp": 1, "trace_id": "t", "span_id": "1", "service": "a", "duration_ns": 1}], table="spans")
    assert wait(map_of(asked(), TimeRange(), NO_FIELDS))["edges"] == []


def test_context_is_what_came_before_and_after(lake, asked, wait):
    lake.store([{"timestamp": n * SECOND, "service": "ab"[n % 2], "n": n} for n in range(100)])
    lake.buffer([{"timestamp": 200_000 * SECOND, "service": "a", "n": 100}])
    found = wait(context(asked(), "logs", 50 * SECOND, "service = 'a'", 3, 2))
    assert [row["n"] for row in found["before"]] == [44, 46, 48]
    assert [row["n"] for row in found["after"]] == [50, 52]
    late = wait(context(asked(), "logs", 98 * SECOND, "service = 'a'", 0, 5))
    assert ([row["n"] for row in late["after"]], late["before"]) == ([98, 100], [])
    assert wait(context(asked(tenant="other"), "logs", 50 * SECOND, "TRUE", 3, 3))["before"] == []


def test_patterns_of_a_selection(lake, asked, wait):
    lake.store([{"timestamp": n, "service": "ab"[n % 2], "message": f"took {n} ms"} for n in range(10)])
    found = wait(patterns(asked(), "logs", "message", Selection("service = 'a'", TimeRange(0, 5)), 10))
    assert (found["messages"], found["patterns"][0]["pattern"], found["patterns"][0]["count"]) == (3, "took <*> ms", 3)
    assert wait(patterns(asked(tenant="other"), "logs", "message", Selection(), 10))["messages"] == 0
