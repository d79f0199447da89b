"""Rewrites: remove from the objects what deletes and retention have hidden already.

A fragment whose rows have all expired is retired without being read. One that still has others is written anew without
those that the query side says are removed. Nothing that is held is touched. What is done is marked in the catalog in the
same transaction, so a crash repeats a rewrite at worst, and one that lost the race is planned again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pulka.errors import Conflict
from pulka.model.rules import Delete, Hold, Removal, Rules, digest, expiry, takes_all
from pulka.seams import Amendment, Catalog, Clock, Fragment, Matching, Publication
from pulka.store.merge import Merger
from pulka.store.plan import Merge

__all__ = ["Rewrite", "RewriteCounts", "Rewriter", "Work", "plan_rewrites"]

_log = logging.getLogger(__name__)
_RETIRED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Rows to take from one fragment: those of deletes, and expired ones under policies that its rows have all outlived."""

    fragment: Fragment
    deletes: tuple[Delete, ...]
    expired: tuple[Removal, ...]
    swept: str

    @property
    def removals(self) -> tuple[Removal, ...]:
        """In the order of their masks: a row that several take counts for the first."""
        return (*(one.removal for one in self.deletes), *self.expired)

    def marked(self, fragment: Fragment) -> Fragment:
        """A fragment with the marks that say it is done."""
        upto = max((one.number for one in self.deletes), default=0)
        return replace(fragment, deleted_upto=max(upto, self.fragment.deleted_upto), swept=self.swept or self.fragment.swept)


@dataclass(slots=True)
class Work:
    """What is to be done for one table."""

    retire: list[Fragment] = field(default_factory=list)
    rewrite: list[Rewrite] = field(default_factory=list)


def plan_rewrites(fragments: Iterable[Fragment], rules: Rules, default_s: int, now_ns: int) -> Work:
    """What deletes and policies demand of the fragments of one table, newest first."""
    work = Work()
    found = [fragment for fragment in fragments if not _held(fragment, rules.holds)]
    for fragment in sorted(found, key=lambda one: (-one.max_ns, one.id)):
        removals = expiry(rules.retention, fragment.table, default_s, now_ns)
        times = fragment.min_ns, fragment.max_ns
        if takes_all(removals, *times):
            work.retire.append(fragment)
            continue
        deletes = tuple(one for one in rules.deletes if _is_of(one, fragment) and one.concerns(fragment.deleted_upto, *times))
        swept = digest(removals, *times)
        due = swept not in ("", fragment.swept)
        if deletes or due:
            expired = tuple(one for one in removals if due and one.window.overlaps(*times))
            work.rewrite.append(Rewrite(fragment, deletes, expired, swept if due else ""))
    return work


def _held(fragment: Fragment, holds: Iterable[Hold]) -> bool:
    return any(_is_of(hold, fragment) and hold.window.overlaps(fragment.min_ns, fragment.max_ns) for hold in holds)


def _is_of(rule: Delete | Hold, fragment: Fragment) -> bool:
    return (rule.tenant, rule.table) == (fragment.tenant, fragment.table)


@dataclass(slots=True)
class RewriteCounts:
    """Counters since the start."""

    rewrites: int = 0
    retired: int = 0
    rows_removed: int = 0
    deletes_done: int = 0
    conflicts: int = 0
    failures: int = 0


class _NothingToRemove(Exception):
    """Every row of the fragment stays."""


class Rewriter:
    """One background task. Several may run on one catalog: the first to publish wins."""

    def __init__(
        self, catalog: Catalog, merger: Merger, matching: Matching, clock: Clock, *, default_s: int = 0, interval_s: float = 30.0
    ) -> None:
        self.counts = RewriteCounts()
        self._catalog, self._merger, self._matching, self._clock = catalog, merger, matching, clock
        self._default_s, self._interval_s = default_s, interval_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run in the background until `close`."""
        self._task = asyncio.create_task(self._run_forever())

    async def close(self) -> None:
        """Stop; a rewrite in flight is abandoned."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run_forever(self) -> None:
        while True:
            try:
                await self.run_once()
            except Exception as error:
                self.counts.failures += 1
                _log.warning("deletes and retention wait, trying again: %s", type(error).__name__)
            await self._clock.sleep(self._interval_s)

    async def run_once(self) -> int:
        """Carry out what is due everywhere; the number of fragments that were rewritten or retired."""
        before = self.counts.rewrites + self.counts.retired
        rules = await self._catalog.rules(done=False)
        concerned = {policy.tenant for policy in rules.retention} | {one.tenant for one in rules.deletes}
        for tenant in await self._catalog.tenants() if self._default_s else sorted(concerned):
            for table in await self._catalog.tables(tenant):
                await self._run_table(tenant, table)
        if rules.deletes:
            await self._finish()
        return self.counts.rewrites + self.counts.retired - before

    async def _run_table(self, tenant: str, table: str) -> None:
        fragments = await self._catalog.fragments(tenant, table)
        rules = await self._catalog.rules(tenant, done=False)
        work = plan_rewrites(fragments, rules, self._default_s, self._clock.now_ns())
        for start in range(0, len(work.retire), _RETIRED_AT_ONCE):
            await self._try(self._retire(work.retire[start : start + _RETIRED_AT_ONCE]), table)
        for rewrite in work.rewrite:
            await self._try(self.rewrite(rewrite), table)

    async def _try(self, work: Awaitable[None], table: str) -> None:
        """What cannot be done now must not keep the rest from it; it is planned again next time."""
        try:
            await work
        except Conflict:
            self.counts.conflicts += 1
        except Exception as error:
            self.counts.failures += 1
            # Not the error's own words: they may come from the engine and quote the condition.
            _log.warning("a fragment of %s keeps rows that are to go, trying again: %s", table, type(error).__name__)

    async def _retire(self, fragments: Sequence[Fragment]) -> None:
        rows = sum(fragment.rows for fragment in fragments)
        await self._catalog.publish(Publication(retire=tuple(one.id for one in fragments), removed={"": rows}))
        self.counts.retired += len(fragments)
        self.counts.rows_removed += rows

    async def rewrite(self, rewrite: Rewrite) -> None:
        """Do one; Conflict when the fragment is gone, or held, meanwhile."""
        removed: dict[str, int] = {}

        async def drop(fragment: Fragment, path: Path) -> pa.BooleanArray:
            masks = await self._matching(fragment, path, rewrite.removals)
            removed.update(_counted(rewrite, masks))
            if not any(removed.values()):
                raise _NothingToRemove
            return reduce(pc.or_, masks)

        def change(inputs: Sequence[Fragment], outputs: Sequence[Fragment]) -> Publication:
            return Publication(tuple(map(rewrite.marked, outputs)), tuple(one.id for one in inputs), removed)

        try:
            await self._merger.merge(Merge.rewrite(rewrite.fragment, "deletes or retention"), drop, change)
        except _NothingToRemove:
            await self._catalog.publish(Publication(mark=(rewrite.marked(rewrite.fragment),)))
            return
        self.counts.rewrites += 1
        self.counts.rows_removed += sum(removed.values())

    async def _finish(self) -> None:
        """A delete is done when no object is left, retired ones included, that may hold its rows."""
        pending = (await self._catalog.rules(done=False)).deletes
        done = [one for one in pending if one.is_published and not one.fragments_left]
        if done:
            await self._catalog.amend(Amendment(finish=tuple(one.id for one in done)))
            self.counts.deletes_done += len(done)


def _counted(rewrite: Rewrite, masks: Sequence[pa.BooleanArray]) -> dict[str, int]:
    """Rows by delete, "" for retention, each row once."""
    names = [*(one.id for one in rewrite.deletes), *([""] * len(rewrite.expired))]
    counts = dict.fromkeys(names, 0)
    taken: pa.BooleanArray | None = None
    for name, mask in zip(names, masks, strict=True):
        counts[name] += (mask if taken is None else pc.and_not(mask, taken)).true_count
        taken = mask if taken is None else pc.or_(taken, mask)
    return counts
