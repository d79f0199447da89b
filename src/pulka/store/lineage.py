"""Which rows a fragment holds, told by where they come from, so that a lost catalog can be rebuilt from footers alone.

A *part* is the rows that a range of journal records put into one window. Flushes and most merges hold whole parts. A
merge with several outputs splits its parts by sort key: an output then holds one share of each, and its descendants a
share of that share. The path of a part names these splits, outermost first.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pulka.store.fragments import FragmentOrigin, Part, Share

__all__ = ["Cell", "Cells", "Split", "holds", "merged", "parts_of", "split_of"]

_NAME_CHARACTERS = 10
_Source = tuple[int, int, int]


class Split(NamedTuple):
    """A merge with several outputs: the end of its first output's id, and how many there are."""

    merge: str
    outputs: int


class Cell(NamedTuple):
    """The rows of some journal records in one window, up to where the next cell starts; with a path, a share of them."""

    window_start_ns: int
    window_ns: int
    partition: int
    start: int
    path: tuple[Share, ...]


def parts_of(origin: FragmentOrigin) -> tuple[Part, ...]:
    """What a flush, or all outputs of a merge together, hold."""
    whole = (Part(origin.window_start_ns, origin.window_ns, *positions) for positions in origin.positions)
    return origin.parts or tuple(whole)


def split_of(origin: FragmentOrigin) -> Split | None:
    """The split that a fragment is an output of; None when it is no share of anything."""
    if len(origin.outputs) < 2:
        return None
    return Split(origin.outputs[0][-_NAME_CHARACTERS:], len(origin.outputs))


def holds(origin: FragmentOrigin) -> tuple[Part, ...]:
    """What this very fragment holds."""
    split = split_of(origin)
    if split is None:
        return parts_of(origin)
    share = Share(*split, origin.outputs.index(origin.id))
    return tuple(part._replace(path=(*part.path, share)) for part in parts_of(origin))


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The same parts in the fewest ranges, sorted."""
    joined: list[Part] = []
    for part in sorted(parts, key=lambda part: (part.window_start_ns, part.window_ns, part.partition, part.path, part.start)):
        last = joined[-1] if joined else None
        if last and last._replace(start=0, end=0) == part._replace(start=0, end=0) and part.start <= last.end:
            joined[-1] = last._replace(end=max(last.end, part.end))
        else:
            joined.append(part)
    return tuple(joined)


class Cells:
    """The pieces that a number of parts cut each other into: parts hold the same rows just where they hold the same cell."""

    def __init__(self, parts: Sequence[Part]) -> None:
        ends: dict[_Source, set[int]] = {}
        for part in parts:
            ends.setdefault(_source(part), set()).update((part.start, part.end))
        self._ends = {source: sorted(found) for source, found in ends.items()}
        self._splits: dict[Cell, set[Split]] = {}
        for part in parts:
            for start in self._starts(part):
                for depth, share in enumerate(part.path):
                    cell = Cell(*_source(part), start, part.path[:depth])
                    self._splits.setdefault(cell, set()).add(Split(share.merge, share.outputs))

    def of(self, parts: Iterable[Part]) -> set[Cell]:
        """The cells that these parts hold; they must be among those that this was made of."""
        return {
            leaf for part in parts for start in self._starts(part) for leaf in self._leaves(Cell(*_source(part), start, part.path))
        }

    def _starts(self, part: Part) -> Sequence[int]:
        ends = self._ends[_source(part)]
        return ends[bisect_left(ends, part.start) : bisect_left(ends, part.end)]

    def _leaves(self, cell: Cell) -> Iterator[Cell]:
        splits = self._splits.get(cell)
        if not splits:
            yield cell
            return
        for split in splits:
            for index in range(split.outputs):
                yield from self._leaves(cell._replace(path=(*cell.path, Share(*split, index))))


def _source(part: Part) -> _Source:
    return part.window_start_ns, part.window_ns, part.partition
