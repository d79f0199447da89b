"""Which flushes were published, as far as footers tell.

A flush writes a fragment per window and then publishes all of them or none. A crash in between leaves fragments behind,
and after the restart the same records are flushed again, in flushes of other lengths. Published flushes never overlap.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from pulka.store.cover import exact_cover
from pulka.store.fragments import FragmentOrigin, Part, PositionRange, coalesce
from pulka.store.lineage import Cells, parts_of

__all__ = ["published_flushes"]

_Window = tuple[int, int]
_Ranges = Mapping[_Window, Sequence[PositionRange]]


@dataclass(frozen=True, slots=True)
class _Flush:
    """The fragments of one flush that are still there. Twins of one extent hold the same rows and count as one flush."""

    members: tuple[FragmentOrigin, ...]

    @property
    def positions(self) -> tuple[PositionRange, ...]:
        return self.members[0].positions

    @property
    def missing(self) -> Set[_Window]:
        return set(self.members[0].flush) - {(o.window_start_ns, o.window_ns) for o in self.members}

    @property
    def created_ns(self) -> int:
        return max(o.created_ns for o in self.members)


def published_flushes(origins: Sequence[FragmentOrigin]) -> list[FragmentOrigin]:
    """The fragments among `origins` that a published flush wrote."""
    merges = [origin for origin in origins if origin.inputs]
    merged, used = _by_window(merges), {name for origin in merges for name in origin.inputs}
    flushes = [flush for flush in _flushes(origins) if not _is_cut(flush, merged)]
    # What a merge read was published for certain.
    kept = [flush for flush in flushes if any(origin.id in used for origin in flush.members)]
    kept += _apart([flush for flush in _clear_of(kept, flushes) if all(_covers(merged.get(w, ()), flush.positions) for w in flush.missing)])
    # A missing window that no merge has: the flush stopped half-way, or, when others build on it, retention took the window.
    reached = _ends([*_positions(kept), *(position for ranges in merged.values() for position in ranges)])
    built_on = [f for f in _clear_of(kept, flushes) if all(p.end <= reached.get(p.partition, 0) for p in f.positions)]
    return [origin for flush in (*kept, *_apart(built_on)) for origin in flush.members]


def _flushes(origins: Iterable[FragmentOrigin]) -> list[_Flush]:
    """The newest first."""
    found: dict[tuple[object, object], list[FragmentOrigin]] = {}
    for origin in origins:
        if not origin.inputs:
            found.setdefault((origin.positions, origin.flush), []).append(origin)
    return sorted((_Flush(tuple(members)) for members in found.values()), key=lambda f: (-f.created_ns, f.positions))


def _is_cut(flush: _Flush, merged: _Ranges) -> bool:
    """Fragments are merged whole: where merges have some of a fragment's records but not all, they have them from a twin."""
    windows = [merged.get((o.window_start_ns, o.window_ns), ()) for o in flush.members]
    together = coalesce([position for ranges in merged.values() for position in ranges])
    return any(_overlaps(ranges, flush.positions) and not _covers(ranges, flush.positions) for ranges in (*windows, together))


def _clear_of(kept: Iterable[_Flush], flushes: Iterable[_Flush]) -> list[_Flush]:
    taken = coalesce(_positions(kept))
    return [flush for flush in flushes if not _overlaps(taken, flush.positions)]


def _positions(flushes: Iterable[_Flush]) -> list[PositionRange]:
    return [position for flush in flushes for position in flush.positions]


def _apart(flushes: Sequence[_Flush]) -> list[_Flush]:
    """Flushes that do not overlap and hold as many records as can be."""
    spans = [[Part(0, 0, *position) for position in flush.positions] for flush in flushes]
    cells = Cells([part for span in spans for part in span])
    return [flushes[index] for index in exact_cover([cells.of(span) for span in spans])]


def _by_window(origins: Iterable[FragmentOrigin]) -> dict[_Window, tuple[PositionRange, ...]]:
    windows: dict[_Window, list[PositionRange]] = {}
    for part in (part for origin in origins for part in parts_of(origin)):
        windows.setdefault((part.window_start_ns, part.window_ns), []).append(PositionRange(part.partition, part.start, part.end))
    return {window: coalesce(ranges) for window, ranges in windows.items()}


def _ends(ranges: Iterable[PositionRange]) -> dict[int, int]:
    return {position.partition: position.end for position in sorted(ranges, key=lambda p: p.end)}


def _covers(ranges: Sequence[PositionRange], wanted: Sequence[PositionRange]) -> bool:
    """Whether every wanted range lies in one of `ranges` (coalesced)."""
    return all(any(r.partition == w.partition and r.start <= w.start and w.end <= r.end for r in ranges) for w in wanted)


def _overlaps(ranges: Sequence[PositionRange], wanted: Sequence[PositionRange]) -> bool:
    return any(r.partition == w.partition and r.start < w.end and w.start < r.end for r in ranges for w in wanted)
