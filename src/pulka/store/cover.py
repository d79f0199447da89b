"""Exact cover: of sets that overlap, choose some that hold every cell once.

The caller knows that a solution exists, save for cells nobody can hold any more. So what must be taken is taken first (a
cell that only one set holds), which settles nearly everything; where a choice is left, either is right unless it leaves a
cell to nobody, and then the other is taken. This is Knuth's Algorithm X with one step of looking ahead in place of
backtracking: footers that no Pulka wrote must not take it for ever.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence, Set

__all__ = ["exact_cover"]

Cell = Hashable


def exact_cover(sets: Sequence[Set[Cell]]) -> list[int]:
    """Indexes of disjoint sets that hold as many cells as can be; where there is a choice, earlier ones are preferred."""
    chosen = [index for component in _components(sets) for index in _solve({i: sets[i] for i in component})]
    return sorted(chosen)


def _components(sets: Sequence[Set[Cell]]) -> Iterator[list[int]]:
    """Sets that overlap, directly or through others."""
    holders: dict[Cell, list[int]] = {}
    for index, cells in enumerate(sets):
        for cell in cells:
            holders.setdefault(cell, []).append(index)
    seen: set[int] = set()
    for index in range(len(sets)):
        if index not in seen:
            yield sorted(_reach(index, sets, holders, seen))


def _reach(start: int, sets: Sequence[Set[Cell]], holders: dict[Cell, list[int]], seen: set[int]) -> list[int]:
    found, waiting = [], [start]
    seen.add(start)
    while waiting:
        found.append(waiting.pop())
        for cell in sets[found[-1]]:
            near = [index for index in holders.pop(cell, ()) if index not in seen]
            seen.update(near)
            waiting += near
    return found


def _solve(sets: Mapping[int, Set[Cell]]) -> list[int]:
    state = _State(sets)
    state.settle(state.forced())
    while state.open:
        state = _choose(state)
    return state.chosen


def _choose(state: "_State") -> "_State":
    """Take the first set that leaves no cell to nobody; if all do, the one that leaves the fewest."""
    best: _State | None = None
    for index in sorted(state.open):
        attempt = state.copy()
        attempt.settle([index])
        if attempt.lost == state.lost:
            return attempt
        if best is None or attempt.lost < best.lost:
            best = attempt
    assert best is not None
    return best


class _State:
    """Sets that may still be taken, and who may still hold each cell."""

    def __init__(self, sets: Mapping[int, Set[Cell]]) -> None:
        self.sets = sets
        self.open = {index for index in sets if sets[index]}
        self.chosen: list[int] = []
        self.lost = 0
        self.holders: dict[Cell, set[int]] = {}
        for index in self.open:
            for cell in sets[index]:
                self.holders.setdefault(cell, set()).add(index)

    def copy(self) -> "_State":
        """Another one to try things with."""
        twin = object.__new__(_State)
        twin.sets, twin.lost = self.sets, self.lost
        twin.open, twin.chosen = set(self.open), list(self.chosen)
        twin.holders = {cell: set(holders) for cell, holders in self.holders.items()}
        return twin

    def forced(self) -> list[int]:
        """The only holders of some cell."""
        return [next(iter(holders)) for holders in self.holders.values() if len(holders) == 1]

    def settle(self, due: Sequence[int]) -> None:
        """Take these sets, earliest first, and whatever must be taken then."""
        waiting = set(due)
        while waiting:
            index = min(waiting)
            waiting.discard(index)
            if index in self.open:
                waiting |= self._take(index)

    def _take(self, index: int) -> set[int]:
        self.chosen.append(index)
        self.open.discard(index)
        beaten = {other for cell in self.sets[index] for other in self.holders.pop(cell)} - {index}
        self.open -= beaten
        return {only for other in beaten for only in self._leave(other)}

    def _leave(self, index: int) -> Iterator[int]:
        """The set is out: its cells are for the others."""
        for cell in self.sets[index]:
            holders = self.holders.get(cell)
            if holders is None:
                continue
            holders.discard(index)
            if len(holders) == 1:
                yield next(iter(holders))
            elif not holders:
                self.lost += 1
                del self.holders[cell]
