"""Wires what keeps events: the journal, copies of remote fragments, rewrites."""

import asyncio
import contextlib

from obstore.store import LocalStore, ObjectStore

from pulka.app.options import write_options
from pulka.config import Settings
from pulka.journal.wal import WalJournal
from pulka.query.conditions import Conditions
from pulka.seams import Clock
from pulka.store.cache import FragmentCache
from pulka.store.catalog import SqlCatalog
from pulka.store.download import Downloads
from pulka.store.fragments import FragmentObjects
from pulka.store.merge import Merger
from pulka.store.rewrite import Rewriter

__all__ = ["open_cache", "open_journal", "open_rewriter"]


async def open_journal(settings: Settings, clock: Clock) -> WalJournal:
    """The log of acknowledged batches, recovered."""
    return await WalJournal.open(
        settings.state_dir / "journal",
        clock=clock,
        partitions=settings["journal_partitions"],
        commit_delay_ms=settings["journal_commit_delay_ms"],
        segment_bytes=settings["journal_segment_bytes"],
        bytes_max=settings["journal_bytes_max"],
        backlog_bytes_max=settings["journal_backlog_bytes_max"],
    )


async def open_cache(settings: Settings, store: ObjectStore, stack: contextlib.AsyncExitStack) -> FragmentCache | None:
    """Copies of a remote store's fragments; a local store is read in place."""
    if isinstance(store, LocalStore):
        return None
    downloads = Downloads(store, settings["objects_concurrency"])
    cache = FragmentCache(settings.state_dir / "cache", settings["cache_bytes_max"], downloads)
    await asyncio.to_thread(cache.prepare)
    stack.push_async_callback(cache.close)
    return cache


def open_rewriter(settings: Settings, catalog: SqlCatalog, objects: FragmentObjects, conditions: Conditions, clock: Clock) -> Rewriter:
    """What removes rows from the files. Not started yet."""
    write = write_options(settings, settings["zstd_level"])
    merger = Merger(catalog, objects, clock, write, settings["compaction_memory_bytes"])
    return Rewriter(
        catalog, merger, conditions.matching, clock, default_s=settings["retention_s"], interval_s=settings["rewrite_interval_s"]
    )  # fmt: skip
