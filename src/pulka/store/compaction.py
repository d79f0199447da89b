"""Compaction: keeps the plan of what changed up to date and does its merges, one at a time, within a budget of CPU.

What to merge is `plan.py`, whose turn it is `turns.py`, how it is done `merge.py`. Several workers may run on one catalog:
the first to publish wins, the others throw their outputs away and choose more at random from then on.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from pulka.errors import Conflict, Temporary
from pulka.model.rules import Delete
from pulka.model.windows import TimeRange
from pulka.seams import Catalog, Clock, Fragment, Publication
from pulka.store.collect import collect
from pulka.store.deletes import alike
from pulka.store.fragments import FragmentObjects
from pulka.store.merge import Merged, Merger
from pulka.store.plan import CompactionSettings, Merge, Span, by_span, next_close_ns, plan, span_of, urgency
from pulka.store.turns import Turns

__all__ = ["Backlog", "CompactionCounts", "CompactionSettings", "Compactor"]

_log = logging.getLogger(__name__)

_FOREVER_NS = 2**62
_CHOICES_MAX = 32


@dataclass(slots=True)
class CompactionCounts:
    """Counters since the start."""

    merges: int = 0
    inputs: int = 0
    outputs: int = 0
    rows: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    busy_s: float = 0.0
    conflicts: int = 0
    failures: int = 0
    collected: int = 0


@dataclass(slots=True)
class Backlog:
    """Inputs of the merges of one stage that are due."""

    merges: int = 0
    fragments: int = 0
    bytes: int = 0


class Compactor:
    """One background task that merges and then deletes what merges and rewrites made superfluous."""

    def __init__(
        self,
        catalog: Catalog,
        objects: FragmentObjects,
        clock: Clock,
        settings: CompactionSettings | None = None,
    ) -> None:
        self.counts = CompactionCounts()
        self._catalog, self._objects, self._clock = catalog, objects, clock
        self._settings = settings or CompactionSettings()
        self._merger = Merger(catalog, objects, clock, self._settings.write, self._settings.memory_bytes)
        self._turns = Turns(self._settings.turn_bytes)
        self._choices = 1  # how many of the first merges to choose from: more while others take them before us
        self._changed: set[Span] = set()
        self._plans: dict[Span, list[Merge]] = {}
        self._waiting: dict[Span, int] = {}  # spans with something left to merge once a window closes, and when
        self._resting: dict[str, int] = {}  # inputs of merges that failed, and until when
        self._swept_s = self._collected_s = -math.inf
        self._task: asyncio.Task[None] | None = None

    def published(self, change: Publication) -> None:
        """Hear of new fragments (a hook for `Writer.flushed`): only their spans are looked at until the next sweep."""
        self._changed.update(span_of(fragment) for fragment in change.add)

    @property
    def pending(self) -> int:
        """Days (or longer windows) of a table with something to merge, now or once a window is closed."""
        return len(self._changed | self._plans.keys() | self._waiting.keys())

    def backlog(self) -> Mapping[str, Backlog]:
        """What is planned, by stage."""
        found: dict[str, Backlog] = {}
        for merge in self._planned():
            entry = found.setdefault(merge.stage, Backlog())
            entry.merges += 1
            entry.fragments += len(merge.inputs)
            entry.bytes += merge.bytes
        return found

    def start(self) -> None:
        """Run in the background until `close`."""
        self._task = asyncio.create_task(self._run_forever())

    async def close(self) -> None:
        """Stop; a merge in flight is abandoned."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run_once(self) -> int:
        """Look at everything once and do what is planned, without rests; the number of merges done."""
        await self._sweep()
        done = 0
        while self._plans:
            done += await self._merge_next() is not None
        await self.collect()
        return done

    async def run_to_the_end(self) -> AsyncIterator[None]:
        """Merge, without rests, until nothing is left that can be merged now; yields after each merge."""
        await self._sweep()
        while self._plans:
            await self._merge_next()
            yield
            await self._look_again()
        await self.collect()

    async def collect(self) -> int:
        """Delete objects of fragments retired longer than the grace; readers of old snapshots have had that long."""
        self._collected_s = self._clock.monotonic_s()
        deleted = await collect(self._catalog, self._objects, self._clock, self._settings.retired_grace_s)
        self.counts.collected += deleted
        return deleted

    async def _run_forever(self) -> None:
        while True:
            try:
                worked = await self._step()
            except Exception as error:
                worked = False
                self.counts.failures += 1
                _log.warning("compaction failed, trying again: %s", error)
            if not worked:
                await self._clock.sleep(self._settings.interval_s)

    async def _step(self) -> bool:
        """Bring the plan up to date and do the first merge; False when there was none."""
        if self._clock.monotonic_s() - self._swept_s >= self._settings.sweep_s:
            await self._sweep()
        await self._look_again()
        if self._clock.monotonic_s() - self._collected_s >= self._settings.retired_grace_s:
            await self.collect()  # once per grace: no file stays longer than twice its time
        if not self._plans:
            return False
        merged = await self._merge_next()
        if merged is not None:
            await self._rest(merged.busy_s)
        return True

    async def _rest(self, busy_s: float) -> None:
        """Leave the processor to others, in proportion; a merge that took long because they need it rests longer too."""
        pause_s = busy_s * (1 / self._settings.cpu_share - 1)
        if pause_s > 0:
            await self._clock.sleep(pause_s)

    # Planning

    async def _sweep(self) -> None:
        """Look at everything: other workers publish too, and their changes are not heard of."""
        for known in (self._changed, self._plans, self._waiting, self._resting):
            known.clear()
        for tenant in await self._catalog.tenants():
            for table in await self._catalog.tables(tenant):
                found = await self._catalog.snapshot(tenant, table, TimeRange())
                for span, members in by_span(found.fragments).items():
                    self._look(span, members, found.deletes)
        self._swept_s = self._clock.monotonic_s()

    async def _look_again(self) -> None:
        """Plan the spans that changed, and those in which a window has closed."""
        now_ns = self._clock.now_ns()
        self._changed.update(span for span, due_ns in self._waiting.items() if due_ns < now_ns)
        for span in sorted(self._changed):
            found = await self._catalog.snapshot(span.tenant, span.table, _range_of(span))
            self._changed.discard(span)
            self._look(span, [fragment for fragment in found.fragments if span_of(fragment) == span], found.deletes)

    def _look(self, span: Span, fragments: Sequence[Fragment], deletes: Sequence[Delete]) -> None:
        now_ns = self._clock.now_ns()
        rests = {fragment.id: self._resting.get(fragment.id, 0) for fragment in fragments}
        members = [fragment for fragment in fragments if rests[fragment.id] < now_ns]
        groups = alike(members, deletes)
        self._plans.pop(span, None)
        self._waiting.pop(span, None)
        if merges := [merge for group in groups for merge in plan(group, now_ns, self._settings)]:
            self._plans[span] = merges
        elif len(members) < len(rests):
            self._waiting[span] = min(end_ns for end_ns in rests.values() if end_ns >= now_ns)
        elif any(plan(group, _FOREVER_NS, self._settings) for group in groups):
            self._waiting[span] = next_close_ns(members, now_ns, self._settings) or now_ns

    def _planned(self) -> list[Merge]:
        return sorted((merge for merges in self._plans.values() for merge in merges), key=urgency)

    # Merging

    async def _merge_next(self) -> Merged | None:
        merge = self._turns.pick(self._planned(), self._clock.random, self._choices)
        span = span_of(merge.first)
        self._plans[span].remove(merge)
        if not self._plans[span]:
            del self._plans[span]
        self._changed.add(span)
        return await self._try(merge)

    async def _try(self, merge: Merge) -> Merged | None:
        """Fragments that cannot be merged must not keep the others from it: they rest for a while."""
        try:
            merged = await self._merger.merge(merge)
        except Conflict:
            self.counts.conflicts += 1
            self._choices = min(2 * self._choices, _CHOICES_MAX)
            return None
        except Exception as error:
            self.counts.failures += 1
            pause_s = self._settings.retry_s if isinstance(error, Temporary | OSError) else self._settings.sweep_s
            self._resting.update(dict.fromkeys((f.id for f in merge.inputs), self._clock.now_ns() + int(pause_s * 1e9)))
            _log.warning("%d fragments of %s stay unmerged for now: %s", len(merge.inputs), merge.first.table, error)
            return None
        self._choices = max(1, self._choices // 2)
        self._count(merge, merged)
        return merged

    def _count(self, merge: Merge, merged: Merged) -> None:
        self.counts.merges += 1
        self.counts.inputs += len(merge.inputs)
        self.counts.outputs += len(merged.outputs)
        self.counts.rows += merge.rows
        self.counts.bytes_read += merge.bytes
        self.counts.bytes_written += merged.bytes
        self.counts.busy_s += merged.busy_s


def _range_of(span: Span) -> TimeRange:
    return TimeRange(span.window.start_ns, span.window.start_ns + span.window.width_ns)
