"""`pulka store repair`: a lost catalog, rebuilt from the footers of the objects.

The bucket may hold more than was published: inputs of merges that wait for their deletion, outputs of merges that were
never published, flushes that stopped half-way. What decides is where rows come from (`lineage.py`): the rows that a range
of journal records put into one window are the same in every fragment that holds them. So each is taken once, and the
journal positions follow from what was taken: a replay neither repeats nor omits. Dedup keys of the last hour are lost.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from obstore.store import ObjectStore

from pulka.errors import Misconfigured, PulkaError
from pulka.seams import Catalog, Fragment, Publication
from pulka.store.cover import exact_cover
from pulka.store.fragments import FragmentObjects, FragmentOrigin, Part, PositionRange, coalesce, fragment_of
from pulka.store.lineage import Cells, Split, holds, parts_of, split_of

__all__ = ["Repaired", "choose", "repair"]


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair found: keys whose rows count now, keys that repeat them or were never published, keys that cannot be read."""

    kept: tuple[str, ...]
    left_out: tuple[str, ...]
    unreadable: tuple[str, ...]


async def repair(catalog: Catalog, store: ObjectStore, objects: FragmentObjects) -> Repaired:
    """Fill an empty catalog from the object store, in one transaction. Deletes nothing."""
    if await catalog.tenants():
        raise Misconfigured("the catalog is not empty", hint="move it away, or name a new one, then repair again")
    found, unreadable = await _read_all(store, objects)
    kept, positions = choose([origin for origin, _ in found])
    chosen = {origin.id for origin in kept}
    fragments = tuple(fragment for origin, fragment in found if origin.id in chosen)
    moves = {key: (0, sequence) for key, sequence in positions.items()}
    await catalog.publish(Publication(add=fragments, positions=moves))
    left_out = tuple(fragment.key for origin, fragment in found if origin.id not in chosen)
    return Repaired(tuple(fragment.key for fragment in fragments), left_out, tuple(unreadable))


async def _read_all(
    store: ObjectStore, objects: FragmentObjects
) -> tuple[list[tuple[FragmentOrigin, Fragment]], list[str]]:
    found: list[tuple[FragmentOrigin, Fragment]] = []
    unreadable: list[str] = []
    async for chunk in store.list_async():
        for item in chunk:
            if not item["path"].endswith(".parquet"):
                continue
            try:
                footer = await objects.footer(item["path"])
                origin = FragmentOrigin.read(footer)
                fragment = fragment_of(origin, footer.get("pulka.fragment", ""))
                found.append((origin, replace(fragment, key=item["path"], bytes=item["size"])))
            except PulkaError:
                unreadable.append(item["path"])
    return found, unreadable


def choose(origins: Iterable[FragmentOrigin]) -> tuple[list[FragmentOrigin], dict[tuple[int, str, str], int]]:
    """The fragments that together hold every published row once, and the positions they reach."""
    tables: dict[tuple[str, str], list[FragmentOrigin]] = {}
    for origin in origins:
        tables.setdefault((origin.tenant, origin.table), []).append(origin)
    kept = [origin for _, members in sorted(tables.items()) for origin in _choose_table(members)]
    positions: dict[tuple[int, str, str], int] = {}
    for origin in kept:
        for partition, _, end in origin.positions:
            key = (partition, origin.tenant, origin.table)
            positions[key] = max(positions.get(key, 0), end)
    return kept, positions


def _choose_table(origins: Sequence[FragmentOrigin]) -> list[FragmentOrigin]:
    merges = [origin for origin in origins if origin.inputs]
    merged = _ranges(merges)
    # Only published fragments are merged. A flush that reaches half into merged records is the unpublished twin of one.
    flushes = [
        o for o in origins if not o.inputs and (_covers(merged, o.positions) or not _overlaps(merged, o.positions))
    ]
    return _without_repeats(_without_unfinished([*merges, *flushes]))


def _without_unfinished(origins: Sequence[FragmentOrigin]) -> list[FragmentOrigin]:
    """Leave out flushes of which a window is missing, unless later ones build on them (then retention took the window)."""
    covered = _ranges_by_window(origins)

    def finished(origin: FragmentOrigin) -> bool:
        return all(_covers(covered.get(window, ()), origin.positions) for window in origin.flush)

    done = [origin for origin in origins if finished(origin)]
    reached = _ends(done)
    return [o for o in origins if finished(o) or all(p.end <= reached.get(p.partition, 0) for p in o.positions)]


def _ranges_by_window(origins: Iterable[FragmentOrigin]) -> dict[tuple[int, int], tuple[PositionRange, ...]]:
    windows: dict[tuple[int, int], list[PositionRange]] = {}
    for part in (part for origin in origins for part in parts_of(origin)):
        windows.setdefault((part.window_start_ns, part.window_ns), []).append(PositionRange(part.partition, part.start, part.end))
    return {window: coalesce(ranges) for window, ranges in windows.items()}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Fragments that count together or not at all, and what they hold."""

    members: tuple[FragmentOrigin, ...]
    parts: tuple[Part, ...]
    whole: bool = True


def _without_repeats(origins: Sequence[FragmentOrigin]) -> list[FragmentOrigin]:
    """The fragments that hold all rows once.

    A merge with several outputs counts as one, all outputs or none, until one of them is known to be merged on: then it
    was published, and each output counts by itself. Outputs without their siblings were never published, unless nobody
    else has their rows: then the siblings were deleted.
    """
    found = sorted(_candidates(origins), key=lambda c: (-c.members[0].created_ns, -c.members[0].level, c.members[0].id))
    cells = Cells([part for candidate in found for part in candidate.parts])
    whole = [candidate for candidate in found if candidate.whole and candidate.parts]
    kept = [candidate for candidate in found if not candidate.parts]
    kept += [whole[index] for index in exact_cover([cells.of(candidate.parts) for candidate in whole])]
    held = {cell for candidate in kept for cell in cells.of(candidate.parts)}
    for rest in (candidate for candidate in found if not candidate.whole):
        own = cells.of(rest.parts)
        if held.isdisjoint(own):
            kept.append(rest)
            held |= own
    return [member for candidate in kept for member in candidate.members]


def _candidates(origins: Sequence[FragmentOrigin]) -> Iterator[_Candidate]:
    published = {share.merge for origin in origins for part in parts_of(origin) for share in part.path}
    siblings: dict[Split, list[FragmentOrigin]] = {}
    for origin in origins:
        split = split_of(origin)
        if split is None or split.merge in published:
            yield _Candidate((origin,), holds(origin))
        else:
            siblings.setdefault(split, []).append(origin)
    for split, members in siblings.items():
        yield _Candidate(tuple(members), parts_of(members[0]), len(members) == split.outputs)


def _ranges(origins: Iterable[FragmentOrigin]) -> tuple[PositionRange, ...]:
    return coalesce([position for origin in origins for position in origin.positions])


def _ends(origins: Iterable[FragmentOrigin]) -> dict[int, int]:
    return {position.partition: position.end for position in _ranges(origins)}


def _covers(ranges: Sequence[PositionRange], wanted: Sequence[PositionRange]) -> bool:
    """Whether every wanted range lies in one of `ranges` (coalesced)."""
    return all(
        any(r.partition == w.partition and r.start <= w.start and w.end <= r.end for r in ranges) for w in wanted
    )


def _overlaps(ranges: Sequence[PositionRange], wanted: Sequence[PositionRange]) -> bool:
    return any(r.partition == w.partition and r.start < w.end and w.start < r.end for r in ranges for w in wanted)
