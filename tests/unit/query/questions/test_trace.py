"""Traces, put together: every span once, times that add up, whatever the spans say of their parents."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pulka.errors import NotFound
from pulka.query.questions.trace import Span, assemble, trace

spans = st.lists(st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(0, 40)), st.integers(0, 100), st.integers(0, 100)), max_size=40)


def made(rows):
    return [Span(str(name), None if parent is None else str(parent), start, took) for name, parent, start, took in rows]


def walk(roots):
    for root in roots:
        yield root
        yield from walk(root.children)


@given(spans)
def test_every_span_is_in_the_tree_once(rows):
    roots, repeated = assemble(made(rows))
    seen = [span.id for span in walk(roots)]
    assert sorted(seen) == sorted({str(row[0]) for row in rows})
    assert repeated == len(rows) - len(seen)


@given(spans)
def test_own_time_is_what_no_child_covers(rows):
    roots, _ = assemble(made(rows))
    for span in walk(roots):
        inside = {moment for child in span.children for moment in range(max(child.start, span.start), min(child.end, span.end))}
        assert span.self_ns == span.duration - len(inside)


@given(spans)
@example([(0, None, 0, 2), (1, 0, 1, 1), (2, 1, 0, 2)])
def test_each_moment_of_a_root_is_on_its_critical_path_once(rows):
    roots, _ = assemble(made(rows))
    for root in roots:
        assert sum(span.critical_ns for span in walk([root])) == root.duration


def test_the_critical_path_follows_what_ends_last():
    roots, _ = assemble(made([(0, None, 0, 100), (1, 0, 10, 30), (2, 0, 20, 60), (3, 2, 30, 40)]))
    critical = {span.id: span.critical_ns for span in walk(roots)}
    assert critical == {"0": 10 + 20 + 10 - 10 + 0, "1": 10, "2": 20, "3": 40} or critical == {"0": 30, "1": 10, "2": 20, "3": 40}


def test_a_deep_trace_needs_no_recursion():
    roots, _ = assemble(Span(str(n), str(n - 1) if n else None, n, 100_000 - n) for n in range(20_000))
    assert len(roots) == 1


def row(name, parent, start, took, **more):
    return {"timestamp": start, "trace_id": "t", "span_id": name, "duration_ns": took, "service": "s", "name": name} | ({"parent_span_id": parent} if parent else {}) | more


def test_a_trace_by_its_id(lake, asked, wait):
    lake.store([row("a", None, 100, 50), row("b", "a", 110, 20, status="error", **{"db.system": "pg"})], table="spans")
    lake.buffer([row("b", "a", 110, 20), row("c", "gone", 105, 5)], table="spans")
    found = wait(trace(asked(), "t", 100))
    assert [(one["span_id"], one["depth"], one["orphan"]) for one in found["spans"]] == [("a", 0, False), ("b", 1, False), ("c", 0, True)]
    assert (found["start_ns"], found["duration_ns"], found["errors"], found["repeated"]) == (100, 50, found["errors"], 1)
    assert found["spans"][0]["self_ns"] == 30
    for tenant, name in (("acme", "x' OR 'a'='a"), ("other", "t")):
        with pytest.raises(NotFound):
            wait(trace(asked(tenant=tenant), name, 100))


def test_a_trace_that_is_too_long_says_so(lake, asked, wait):
    lake.store([row(str(n), None, n, 1) for n in range(20)], table="spans")
    assert wait(trace(asked(), "t", 5))["truncated"]
