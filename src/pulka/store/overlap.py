"""Which intervals lie over each other: the geometry of locality compaction.

Interval ends are ranks among all ends that are known, so that the length of an interval tells about how much of the
data lies in it, though keys are text and have no distance.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Interval", "densest", "density", "within"]

T = TypeVar("T")


class Interval(NamedTuple, Generic[T]):
    """Ranks, both inclusive, and what lies there."""

    low: int
    high: int
    item: T


def densest(intervals: Sequence[Interval[T]]) -> Iterator[list[Interval[T]]]:
    """The intervals that share a point, for each point where one begins; the deepest point first."""
    lows, highs = sorted(i.low for i in intervals), sorted(i.high for i in intervals)

    def depth(point: int) -> int:
        return bisect_right(lows, point) - bisect_left(highs, point)

    for point in sorted(set(lows), key=lambda point: (-depth(point), point)):
        yield [i for i in intervals if i.low <= point <= i.high]


def density(intervals: Sequence[Interval[T]]) -> float:
    """How many of the intervals lie over a point between their ends, on average: 1 when they are disjoint."""
    first, last = _hull(intervals)
    return sum(i.high - i.low + 1 for i in intervals) / (last - first + 1)


def within(intervals: Sequence[Interval[T]], group: Sequence[Interval[T]]) -> list[Interval[T]]:
    """Those of `intervals` that are not in the group but lie between its ends: they make it denser, never wider."""
    first, last = _hull(group)
    members = {id(i) for i in group}
    return [i for i in intervals if first <= i.low and i.high <= last and id(i) not in members]


def _hull(intervals: Sequence[Interval[T]]) -> tuple[int, int]:
    return min(i.low for i in intervals), max(i.high for i in intervals)
