"""Garbage collection: delete objects that no catalog row counts on, never before a grace has passed."""

from collections.abc import AsyncIterator

from obstore.store import ObjectStore

from pulka.seams import Catalog, Clock
from pulka.store.fragments import FragmentObjects
from pulka.store.outages import translated

__all__ = ["collect", "orphans"]

_AT_ONCE = 1000


async def collect(catalog: Catalog, objects: FragmentObjects, clock: Clock, grace_s: float) -> int:
    """Delete the objects of fragments that were retired more than `grace_s` ago; how many there were.

    The object goes first: a crash in between leaves a row whose object is deleted once more, never an object without a row.
    """
    keys = list(await catalog.retired(clock.now_ns() - int(grace_s * 1e9)))
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        await objects.delete(some)
        await catalog.forget(some)
    return len(keys)


async def orphans(catalog: Catalog, store: ObjectStore, clock: Clock, grace_s: float) -> AsyncIterator[str]:
    """Keys of Parquet objects older than the grace that no catalog row mentions. Lists the bucket: for check and repair only.

    The list is read before the catalog, so that what is published in between is not taken for an orphan.
    """
    before_ns = clock.now_ns() - int(grace_s * 1e9)
    listed: list[str] = []
    with translated():
        async for chunk in store.list_async():
            old = [item for item in chunk if item["last_modified"].timestamp() * 1e9 <= before_ns]
            listed += [item["path"] for item in old if item["path"].endswith(".parquet")]
    known = {fragment.key for fragment in await catalog.fragments()}
    known.update(await catalog.retired(2**63 - 1))
    for key in listed:
        if key not in known:
            yield key
