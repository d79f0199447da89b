"""The store without intake: what commands do beside a running lake, or in its place."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pulka.app.options import catalog_url, compaction_settings, object_store
from pulka.app.state import state_lock
from pulka.clock import SystemClock
from pulka.config import Settings
from pulka.errors import Misconfigured
from pulka.model.windows import TimeRange
from pulka.seams import Fragment
from pulka.store.catalog import SqlCatalog
from pulka.store.check import Finding, check
from pulka.store.collect import orphans
from pulka.store.compaction import CompactionCounts, Compactor
from pulka.store.deletes import alike
from pulka.store.fragments import FragmentObjects
from pulka.store.location import probe
from pulka.store.plan import Merge, by_span, plan, urgency
from pulka.store.repair import Repaired, repair
from pulka.store.turns import in_turn

__all__ = ["Offline", "compact", "compaction_plan", "delete_orphans", "offline", "probe_objects", "repair_catalog"]


@dataclass(frozen=True, slots=True)
class Offline:
    """The store without intake: for looking and checking beside a running lake."""

    catalog: SqlCatalog
    settings: Settings

    def path(self, fragment: Fragment) -> str:
        """Where a fragment's file is: a path or a URL."""
        return f"{str(self.settings['objects_url']).rstrip('/') or self.settings.state_dir / 'objects'}/{fragment.key}"

    def check(self, *, verify: bool) -> AsyncIterator[Finding]:
        """What is wrong in the store, if anything; `verify` reads every page."""
        return check(self.catalog, object_store(self.settings), _offline_objects(self.settings), SystemClock(), verify=verify)


@contextlib.asynccontextmanager
async def offline(settings: Settings) -> AsyncIterator[Offline]:
    """Open the catalog of a state directory; Misconfigured when there is none."""
    if not settings.state_dir.exists():
        raise Misconfigured(f"{settings.state_dir} does not exist", hint="start Pulka once, or name its directory with --state-dir")
    catalog = await SqlCatalog.open(catalog_url(settings), SystemClock())
    try:
        yield Offline(catalog, settings)
    finally:
        await catalog.close()


async def repair_catalog(settings: Settings) -> Repaired:
    """Fill an empty catalog from the footers of all fragments."""
    with state_lock(settings.state_dir):
        async with offline(settings) as lake:
            return await repair(lake.catalog, object_store(settings), _offline_objects(settings))


async def delete_orphans(settings: Settings) -> AsyncIterator[str]:
    """Delete the objects no catalog entry mentions; yields their keys."""
    with state_lock(settings.state_dir):
        async with offline(settings) as lake:
            if not await lake.catalog.fragments():
                raise Misconfigured("the catalog is empty, so every object would go", hint="fill it first: `pulka store repair`")
            objects = _offline_objects(settings)
            async for key in orphans(lake.catalog, object_store(settings), SystemClock(), grace_s=0):
                await objects.delete([key])
                yield key


async def compaction_plan(settings: Settings) -> list[Merge]:
    """What a compactor would merge now, in its order."""
    async with offline(settings) as lake:
        limits = compaction_settings(settings)
        merges: list[Merge] = []
        for tenant in await lake.catalog.tenants():
            for table in await lake.catalog.tables(tenant):
                found = await lake.catalog.snapshot(tenant, table, TimeRange())
                groups = (group for members in by_span(found.fragments).values() for group in alike(members, found.deletes))
                merges += (merge for group in groups for merge in plan(group, SystemClock().now_ns(), limits))
        return list(in_turn(sorted(merges, key=urgency), limits.turn_bytes))


async def compact(settings: Settings) -> AsyncIterator[CompactionCounts]:
    """Merge until nothing is left to merge; yields what was done so far after each merge."""
    busy = "that one merges by itself; stop it first, or only look: `pulka store compact --plan`"
    with state_lock(settings.state_dir, busy):
        async with offline(settings) as lake:
            objects = _offline_objects(settings)
            await asyncio.to_thread(objects.prepare)
            compactor = Compactor(lake.catalog, objects, SystemClock(), compaction_settings(settings))
            async for _ in compactor.run_to_the_end():
                yield compactor.counts


async def probe_objects(settings: Settings) -> None:
    """Raise what stands between this machine and its object store."""
    await probe(object_store(settings), str(settings["objects_url"]))


def _offline_objects(settings: Settings) -> FragmentObjects:
    """With a spool of its own: a lake that runs beside empties and uses the other."""
    return FragmentObjects(object_store(settings), settings.state_dir / "spool-offline")
