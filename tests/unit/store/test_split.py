import pyarrow as pa

from pulka.model.windows import HOUR_NS
from pulka.store.split import Window, split

STAMP = pa.timestamp("ns", tz="UTC")


def batch(*nanos: int) -> pa.RecordBatch:
    return pa.record_batch({"timestamp": pa.array(nanos, pa.int64()).cast(STAMP), "n": pa.array(nanos, pa.int64())})


def rows(parts: dict[Window, list[pa.RecordBatch]]) -> dict[Window, list[int]]:
    return {window: [n for part in batches for n in part["n"].to_pylist()] for window, batches in parts.items()}


def test_rows_keep_their_order_in_their_hours() -> None:
    found = rows(split([batch(3, HOUR_NS, 1), batch(HOUR_NS + 5, 2 * HOUR_NS - 1)], HOUR_NS, 8))
    assert found == {Window(0, HOUR_NS): [3, 1], Window(HOUR_NS, HOUR_NS): [HOUR_NS, HOUR_NS + 5, 2 * HOUR_NS - 1]}


def test_a_batch_of_one_window_is_not_copied() -> None:
    whole = batch(1, 2)
    assert split([whole], HOUR_NS, 8)[Window(0, HOUR_NS)][0] is whole


def test_no_rows_no_windows() -> None:
    assert split([batch()], HOUR_NS, 8) == {}


def test_a_year_of_stragglers_shares_few_windows() -> None:
    full = 400 * 24 * HOUR_NS
    old = [hour * HOUR_NS + 7 for hour in range(0, 365 * 24, 5)]
    parts = split([batch(*old, full, full + 1, full + 2), batch(*old)], HOUR_NS, 16)
    found = rows(parts)
    assert len(parts) <= 16
    assert found[Window(full, HOUR_NS)] == [full, full + 1, full + 2]
    assert sorted(n for numbers in found.values() for n in numbers) == sorted([*old, *old, full, full + 1, full + 2])
    for window, numbers in found.items():
        assert all(window.start_ns <= n < window.start_ns + window.width_ns for n in numbers)


def test_even_centuries_fit() -> None:
    wide = [year * 8766 * HOUR_NS for year in range(1, 280)]
    parts = split([batch(*wide)], HOUR_NS, 4)
    assert len(parts) <= 4
    assert sum(part.num_rows for batches in parts.values() for part in batches) == len(wide)
