"""Rows to windows: which window each row of a flush belongs to, and the batches of each window.

A shipper that replays a year of logs brings thousands of hours with a few rows each; a file per hour would be thousands
of tiny files. The fullest hours get windows of their own, the rest share days, months or more, whatever suffices.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pulka.model.fields import TIMESTAMP
from pulka.model.windows import window_start

__all__ = ["Window", "split"]

_COARSER = (24, 24 * 32, 24 * 32 * 32, 24 * 32 * 32 * 32)
"""Widths of shared windows, in windows: with hours these are a day, about a month, 3 years and 90 years."""


class Window(NamedTuple):
    """Start and width in nanoseconds."""

    start_ns: int
    width_ns: int


def split(batches: Sequence[pa.RecordBatch], window_ns: int, windows_max: int) -> dict[Window, list[pa.RecordBatch]]:
    """The rows of `batches` by window, at most `windows_max` windows, oldest first; rows keep their order."""
    counted = [_count(batch, window_ns) for batch in batches]
    targets = _targets(sum(counted, Counter()), window_ns, windows_max)
    parts: dict[Window, list[pa.RecordBatch]] = {window: [] for window in sorted(set(targets.values()))}
    for batch, starts in zip(batches, counted, strict=True):
        for window, part in _parts(batch, {start: targets[start] for start in starts}, window_ns):
            parts[window].append(part)
    return parts


def _count(batch: pa.RecordBatch, window_ns: int) -> Counter[int]:
    """Rows by start of their window. Most batches lie in one."""
    if batch.num_rows == 0:
        return Counter()
    nanos = batch.column(TIMESTAMP).cast(pa.int64())
    ends = pc.min_max(nanos).as_py()
    first, last = window_start(ends["min"], window_ns), window_start(ends["max"], window_ns)
    if first == last:
        return Counter({first: batch.num_rows})
    counts = pc.value_counts(_starts(nanos, window_ns))
    return Counter(dict(zip(*(counts.field(i).to_pylist() for i in range(2)), strict=True)))


def _starts(nanos: pa.Array, window_ns: int) -> pa.Array:
    """`window_start` of a column. Arrow divides towards zero, so times before 1970 (there are none) would round up."""
    return pc.multiply(pc.divide(nanos, window_ns), window_ns)


def _targets(rows: Counter[int], window_ns: int, windows_max: int) -> Mapping[int, Window]:
    """The window of each hour: its own for the fullest ones when there are too many."""
    if len(rows) <= windows_max:
        return {start: Window(start, window_ns) for start in rows}
    own = sorted(rows, key=lambda start: (-rows[start], -start))[: windows_max // 2]  # of equally full ones the newest
    rest = sorted(rows.keys() - set(own))
    return {start: Window(start, window_ns) for start in own} | _shared(rest, window_ns, windows_max - len(own))


def _shared(starts: Sequence[int], window_ns: int, windows_max: int) -> dict[int, Window]:
    for factor in _COARSER:
        width_ns = window_ns * factor
        targets = {start: Window(window_start(start, width_ns), width_ns) for start in starts}
        if len(set(targets.values())) <= windows_max:
            return targets
    return {start: Window(0, 2**63 - 1) for start in starts}


def _parts(batch: pa.RecordBatch, targets: Mapping[int, Window], window_ns: int) -> list[tuple[Window, pa.RecordBatch]]:
    windows = sorted(set(targets.values()))
    if len(windows) <= 1:
        return [(window, batch) for window in windows]
    starts = list(targets)
    which = pa.array([windows.index(targets[start]) for start in starts], pa.int32())
    hours = _starts(batch.column(TIMESTAMP).cast(pa.int64()), window_ns)
    chosen = which.take(pc.index_in(hours, pa.array(starts, pa.int64())))
    return [(window, batch.filter(pc.equal(chosen, index))) for index, window in enumerate(windows)]
