import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulka.model.fields import Column
from pulka.model.windows import TimeRange
from pulka.query import late as late_module
from pulka.query.late import is_late
from pulka.query.plan import Use
from pulka.query.predicate import ANYTHING, All, AnyOf, Compare, Contains, Prefix
from pulka.query.schema import LogicalTable
from pulka.query.source import Source
from pulka.seams import ColumnStats, Fragment

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
    assert is_late(source(columns, predicate), {}) == late


def test_a_table_that_is_scanned_twice():
    assert is_late(source(["message"], BOTH, ANYTHING), {})


@pytest.mark.parametrize(("window", "late"), [
    (TimeRange(10, 21), False), (TimeRange(0, None), False), (TimeRange(11, 21), True), (TimeRange(10, 20), True), (TimeRange(None, 15), True),
])  # fmt: skip
def test_a_window_that_cuts_through_a_fragment(window, late):
    assert is_late(source(["message"], BOTH, window=window), {}) == late


MS, STATUS = "took_ms", "status"


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A fragment of 1,000 rows of which `took_ms` is 0.5 to 999.5 in no order and `status` mostly 200; its file."""
    path = tmp_path_factory.mktemp("late") / "f.parquet"
    took = [(at * 617 % 1000) + 0.5 for at in range(1000)]
    status = [500 if at % 100 == 0 else None if at % 100 == 1 else 200 for at in range(1000)]
    pq.write_table(pa.table({MS: took, STATUS: pa.array(status, pa.int64()), "service": ["web"] * 1000}), path, row_group_size=300)
    columns = (ColumnStats(Column(MS, MS, "f64"), 0), ColumnStats(Column(STATUS, STATUS, "i64"), 0), ColumnStats(Column("service", "service", "str"), 0))
    fragment = Fragment(id="1", tenant="t", table="logs", key="k", window_start_ns=0, window_ns=100, min_ns=10, max_ns=20, rows=1000, bytes=1, raw_bytes=1, level=0, created_ns=0, columns=columns)
    return fragment, {"1": path}


@pytest.mark.parametrize(("predicate", "late"), [
    (Compare(MS, ">", 200.0), False),
    (Compare(MS, "<=", 100.5), False),
    (Compare(MS, ">", 995.0), True),
    (Compare(STATUS, "=", 200), False),
    (Compare(STATUS, "=", 500), True),
    (Compare(STATUS, "!=", 500), False),
    (All((Compare(STATUS, "=", 500), Compare(MS, ">", 1.0))), True),
    (All((Compare(STATUS, "=", 200), Compare(MS, ">", 1.0))), False),
    (AnyOf((Compare(STATUS, "=", 500), Compare(STATUS, "=", 200))), False),
    (All((Compare(STATUS, "=", 200), Compare("service", "=", "web"))), True),
    (All((Compare(STATUS, "=", 200), ANYTHING)), True),
    (Compare("elsewhere", "=", 200), True),
])  # fmt: skip
def test_how_many_rows_pass_is_measured(numbers, monkeypatch, predicate, late):
    monkeypatch.setattr(late_module, "_ROWS_MIN", 1000)
    fragment, paths = numbers
    own = Source(Use(LogicalTable("logs", {}), {MS, STATUS, "service"}, [predicate]), ALWAYS, [fragment], [], {})
    assert is_late(own, paths) == late
    assert is_late(own, {}), "to explain only"
    monkeypatch.setattr(late_module, "_ROWS_MIN", 1001)
    assert is_late(own, paths), "of few rows nothing is measured"


def test_a_file_that_cannot_be_read_is_for_the_scan_to_tell(numbers, monkeypatch, tmp_path):
    monkeypatch.setattr(late_module, "_ROWS_MIN", 1)
    (tmp_path / "broken").write_bytes(b"PAR1")
    own = Source(Use(LogicalTable("logs", {}), {MS, "service"}, [Compare(MS, ">", 200.0)]), ALWAYS, [numbers[0]], [], {})
    assert is_late(own, {"1": tmp_path / "broken"})
    assert is_late(own, {"1": tmp_path / "gone"})
