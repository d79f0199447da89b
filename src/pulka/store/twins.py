"""Second tries of a flush, as repair meets them: which of several that put the same rows into different windows counts.

A flush of more hours than it may have windows lets some share one (`split.py`). When it fails and is tried again with some
more records, others may share. Within one window twins are told apart by the records they cover; across windows that differ
nothing in the rows would show that they are there twice, so all but one of such flushes are left out first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pulka.store.fragments import FragmentOrigin, PositionRange, coalesce

__all__ = ["MergedRows", "without_clashing_twins"]

Window = tuple[int, int]
MergedRows = tuple[Window, PositionRange]
"""Rows that a merge holds: the window a flush put them into, and the records they are of."""


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt at a flush: the windows it has, by which each row's window is settled, and the records."""

    windows: tuple[Window, ...]
    positions: tuple[PositionRange, ...]

    def clashes(self, other: "_Try") -> bool:
        """Whether a row may be in different windows under the two: in one of its own, or in one it shares."""
        return _meet(self.positions, other.positions) and any(
            a != b and _overlap(a, b) and not {min(a, b, key=_width)} <= {*self.windows} & {*other.windows} for a in self.windows for b in other.windows
        )

    def contradicts(self, merged: MergedRows) -> bool:
        """Whether a merge had rows in a window that this flush does not know, though it lies over one it has."""
        window, records = merged
        return _meet(self.positions, [records]) and window not in self.windows and any(_overlap(window, own) for own in self.windows)


def without_clashing_twins(flushes: Sequence[FragmentOrigin], merged: Sequence[MergedRows]) -> list[FragmentOrigin]:
    """Flushes of one table whose windows agree with each other and with what merges hold (all their inputs were published)."""
    tries: dict[_Try, list[FragmentOrigin]] = {}
    for origin in flushes:
        tries.setdefault(_Try(origin.flush, origin.positions), []).append(origin)
    taken: list[_Try] = []
    for attempt in _likeliest_first(tries, merged):
        if not any(attempt.contradicts(rows) for rows in merged) and not any(attempt.clashes(other) for other in taken):
            taken.append(attempt)
    return [origin for attempt in taken for origin in tries[attempt]]


def _likeliest_first(tries: Mapping[_Try, Sequence[FragmentOrigin]], merged: Sequence[MergedRows]) -> list[_Try]:
    """Each flush follows a published position, its start. So one that reaches over such a position was not published, and
    one that ends there probably was; of the others it is the one that is whole, and reaches far."""
    reached = {(records.partition, records.start) for attempt in tries for records in attempt.positions}
    reached |= {(records.partition, end) for _, records in merged for end in (records.start, records.end)}

    def doubts(attempt: _Try) -> tuple[bool, bool, bool, int]:
        (span,) = attempt.positions[:1] or (PositionRange(0, 0, 0),)
        beyond = any(partition == span.partition and span.start < place < span.end for partition, place in reached)
        held = {_window(origin) for origin in tries[attempt]} | _merged_windows(merged, span)
        return beyond, (span.partition, span.end) not in reached, not held.issuperset(attempt.windows), -span.end

    return sorted(tries, key=doubts)


def _merged_windows(merged: Iterable[MergedRows], span: PositionRange) -> set[Window]:
    ranges: dict[Window, list[PositionRange]] = {}
    for window, records in merged:
        ranges.setdefault(window, []).append(records)
    return {window for window, found in ranges.items() if any(_within(span, item) for item in coalesce(found))}


def _within(span: PositionRange, item: PositionRange) -> bool:
    return item.partition == span.partition and item.start <= span.start and span.end <= item.end


def _window(origin: FragmentOrigin) -> Window:
    return origin.window_start_ns, origin.window_ns


def _width(window: Window) -> int:
    return window[1]


def _meet(some: Sequence[PositionRange], others: Sequence[PositionRange]) -> bool:
    return any(a.partition == b.partition and a.start < b.end and b.start < a.end for a in some for b in others)


def _overlap(one: Window, other: Window) -> bool:
    return one[0] < other[0] + other[1] and other[0] < one[0] + one[1]
