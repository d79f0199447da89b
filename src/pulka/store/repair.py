"""`pulka store repair`: a lost catalog, rebuilt from the footers of the objects.

The bucket may hold more than was published: inputs of merges that wait for their deletion, outputs of merges that were
never published, flushes that stopped half-way. What decides is where rows come from: within one window, the rows of a
range of journal records are the same in every fragment that covers the range. So each range is taken once, and the
journal positions follow from what was taken: a replay neither repeats nor omits. Dedup keys of the last hour are lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from obstore.store import ObjectStore

from pulka.errors import Misconfigured, PulkaError
from pulka.seams import Catalog, Fragment, Publication
from pulka.store.fragments import FragmentObjects, FragmentOrigin, PositionRange, coalesce, fragment_of
from pulka.store.twins import without_clashing_twins

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
    merges = [origin for origin in origins if origin.level > 0]
    merged = coalesce([position for origin in merges for position in origin.positions])
    # Only published fragments are merged. A flush that reaches half into merged records is the unpublished twin of one.
    flushes = [
        o for o in origins if o.level == 0 and (_covers(merged, o.positions) or not _overlaps(merged, o.positions))
    ]
    rows = [((o.window_start_ns, o.window_ns), position) for o in merges for position in o.positions]
    candidates = [*merges, *without_clashing_twins(flushes, rows)]
    whole = _without_unfinished(candidates, _by_window(candidates))
    return [origin for members in _by_window(whole).values() for origin in _without_repeats(members)]


def _by_window(origins: Iterable[FragmentOrigin]) -> dict[tuple[int, int], list[FragmentOrigin]]:
    windows: dict[tuple[int, int], list[FragmentOrigin]] = {}
    for origin in origins:
        windows.setdefault((origin.window_start_ns, origin.window_ns), []).append(origin)
    return windows


def _without_unfinished(
    origins: Sequence[FragmentOrigin], windows: Mapping[tuple[int, int], Sequence[FragmentOrigin]]
) -> list[FragmentOrigin]:
    """Leave out flushes of which a window is missing, unless later ones build on them (then retention took the window)."""
    covered = {window: _ranges(members) for window, members in windows.items()}

    def finished(origin: FragmentOrigin) -> bool:
        return all(_covers(covered.get(window, ()), origin.positions) for window in origin.flush)

    done = [origin for origin in origins if finished(origin)]
    reached = _ends(done)
    return [o for o in origins if finished(o) or all(p.end <= reached.get(p.partition, 0) for p in o.positions)]


def _without_repeats(origins: Sequence[FragmentOrigin]) -> list[FragmentOrigin]:
    """Fragments of one window without those whose records the others hold, the largest first.

    An output whose inputs are all there still goes, and so do the inputs that remain once some are gone.
    """
    kept = sorted(origins, key=lambda o: (-len(o.inputs), -sum(p.end - p.start for p in o.positions), o.id))
    for origin in list(kept):
        others = _ranges(other for other in kept if other is not origin)
        if origin.positions and _covers(others, origin.positions):
            kept.remove(origin)
    return kept


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
