import pytest

from pulka.query.late import is_late
from pulka.query.plan import Use
from pulka.query.predicate import ANYTHING, All, AnyOf, Compare, Contains, Prefix
from pulka.query.schema import LogicalTable

A, B = Contains("message", "a"), Prefix("message", "b")


def use(predicate, *columns):
    return Use(LogicalTable("logs", {}), {"message", *columns}, [predicate])


@pytest.mark.parametrize(("predicate", "columns", "late"), [
    (All((A, B)), [], False),
    (All((A, B)), ["timestamp", "service"], False),
    (All((A, B)), ["host"], True),
    (A, [], True),
    (ANYTHING, [], True),
    (AnyOf((A, B)), [], True),
    (All((A, Contains("host", "b"))), ["host"], True),
    (All((A, B, Compare("service", "=", "web"))), ["service"], True),
])  # fmt: skip
def test_late(predicate, columns, late):
    assert is_late(use(predicate, *columns)) == late


def test_a_table_that_is_scanned_twice():
    assert is_late(Use(LogicalTable("logs", {}), {"message"}, [All((A, B)), ANYTHING]))
