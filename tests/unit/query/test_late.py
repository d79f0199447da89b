import pytest

from pulka.model.windows import TimeRange
from pulka.query.late import is_late
from pulka.query.plan import Use
from pulka.query.predicate import ANYTHING, All, AnyOf, Compare, Contains, Prefix
from pulka.query.schema import LogicalTable
from pulka.query.source import Source
from pulka.seams import Fragment

A, B = Contains("message", "a"), Prefix("message", "b")
ALWAYS = TimeRange()
BOTH = All((A, B))


def source(columns, *scans, window=ALWAYS):
    fragment = Fragment(id="1", tenant="t", table="logs", key="k", window_start_ns=0, window_ns=100, min_ns=10, max_ns=20, rows=1, bytes=1, raw_bytes=1, level=0, created_ns=0, columns=())
    return Source(Use(LogicalTable("logs", {}), set(columns), list(scans)), window, [fragment], [], {})


@pytest.mark.parametrize(("columns", "predicate", "late"), [
    (["message"], BOTH, False),
    (["message", "timestamp", "service"], BOTH, False),
    (["message", "host"], BOTH, True),
    (["message"], A, False),
    (["message"], ANYTHING, False),
    (["message", "service"], A, True),
    (["message", "service"], AnyOf((A, B)), True),
    (["message", "host"], All((A, Contains("host", "b"))), True),
    (["message", "service"], All((A, B, Compare("service", "=", "web"))), True),
    (["message", "service"], ANYTHING, True),
])  # fmt: skip
def test_late(columns, predicate, late):
    assert is_late(source(columns, predicate)) == late


def test_a_table_that_is_scanned_twice():
    assert is_late(source(["message"], BOTH, ANYTHING))


@pytest.mark.parametrize(("window", "late"), [
    (TimeRange(10, 21), False), (TimeRange(0, None), False), (TimeRange(11, 21), True), (TimeRange(10, 20), True), (TimeRange(None, 15), True),
])  # fmt: skip
def test_a_window_that_cuts_through_a_fragment(window, late):
    assert is_late(source(["message"], BOTH, window=window)) == late
