"""`pulka store repair`: a lost catalog, rebuilt from the footers of the objects.

The bucket may hold more than was published: inputs of merges that wait for their deletion, outputs of merges that were
never published, flushes that stopped half-way. What decides is where rows come from (`lineage.py`): the rows that a range
of journal records put into one window are the same in every fragment that holds them. So each is taken once, and the
journal positions follow from what was taken: a replay neither repeats nor omits. Dedup keys of the last hour are lost.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from obstore.store import ObjectStore

from pulka.errors import Corrupt, Misconfigured
from pulka.seams import Catalog, Fragment, Publication
from pulka.store.cover import exact_cover
from pulka.store.flushes import published_flushes
from pulka.store.fragments import FragmentObjects, FragmentOrigin, Part, fragment_of
from pulka.store.lineage import Cells, Split, holds, parts_of, split_of
from pulka.store.outages import translated

__all__ = ["Repaired", "choose", "repair"]

_AT_ONCE = 8  # a remote store answers slowly, but many questions at once


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
    async for some in _listed(store):
        read = await asyncio.gather(*(_read(key, size, objects) for key, size in some))
        found += [item for item in read if item is not None]
        unreadable += [key for (key, _), item in zip(some, read, strict=True) if item is None]
    return found, unreadable


async def _listed(store: ObjectStore) -> AsyncIterator[list[tuple[str, int]]]:
    """Keys and sizes of all Parquet objects, some at a time."""
    with translated():
        async for chunk in store.list_async(chunk_size=_AT_ONCE):
            yield [(item["path"], item["size"]) for item in chunk if item["path"].endswith(".parquet")]


async def _read(key: str, size: int, objects: FragmentObjects) -> tuple[FragmentOrigin, Fragment] | None:
    """What an object says of itself; None when it cannot be read."""
    try:
        footer = await objects.footer(key)
        origin = FragmentOrigin.read(footer)
        fragment = fragment_of(origin, footer.get("pulka.fragment", ""))
    except (Corrupt, FileNotFoundError):
        return None
    return origin, replace(fragment, key=key, bytes=size)


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


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Fragments that count together or not at all, and what they hold."""

    members: tuple[FragmentOrigin, ...]
    parts: tuple[Part, ...]
    whole: bool = True


def _choose_table(origins: Sequence[FragmentOrigin]) -> list[FragmentOrigin]:
    """The fragments that hold all published rows once.

    A merge with several outputs counts as one, all outputs or none, until one of them is known to be merged on: then it
    was published, and each output counts by itself. Outputs without their siblings were never published, unless nobody
    else has their rows: then the siblings were deleted.
    """
    published = [*(origin for origin in origins if origin.inputs), *published_flushes(origins)]
    found = sorted(_candidates(published), key=lambda c: (-c.members[0].created_ns, -c.members[0].level, c.members[0].id))
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

