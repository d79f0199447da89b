"""Compaction: merge the many small fragments of a window into few large ones.

Size-tiered and lazy (as in Cassandra's STCS and RocksDB's universal style): fragments of about one size are merged when
there are enough of them, so each row is rewritten once per size class, log(window bytes / flush bytes) times. The plan
is a pure function of the catalog; a crash at any step leaves at worst an object nobody refers to.
"""

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pulka import _native
from pulka.errors import Conflict, Corrupt
from pulka.model.ids import new_id
from pulka.model.tables import table as table_definition
from pulka.model.windows import TimeRange
from pulka.seams import Catalog, Clock, Fragment, Publication
from pulka.store.collect import collect
from pulka.store.fragments import FragmentObjects, FragmentOrigin, WriteOptions, coalesce, fragment_of, read_footer

__all__ = ["CompactionCounts", "CompactionSettings", "Compactor", "Merge", "plan"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CompactionSettings:
    """What is merged when. Bytes are those of the Parquet objects."""

    class_factor: float = 8.0
    class_base_bytes: int = 256 << 10
    fragments_per_class: int = 8
    inputs_max: int = 32
    input_bytes_max: int = 1 << 30
    # A window that ended, and got nothing new, this long ago is merged to the end.
    closed_after_s: float = 900.0
    small_bytes: int = 64 << 20
    interval_s: float = 5.0
    sweep_s: float = 600.0
    retired_grace_s: float = 300.0
    write: WriteOptions = field(default_factory=WriteOptions)


@dataclass(frozen=True, slots=True)
class Merge:
    """Fragments of one table and window that are to become one."""

    inputs: tuple[Fragment, ...]

    @property
    def first(self) -> Fragment:
        """Any input tells tenant, table and window."""
        return self.inputs[0]

    @property
    def bytes(self) -> int:
        """Bytes to read."""
        return sum(fragment.bytes for fragment in self.inputs)


_WindowKey = tuple[str, str, int, int]


def plan(fragments: Iterable[Fragment], now_ns: int, settings: CompactionSettings) -> list[Merge]:
    """What to merge, newest windows first; no fragment is in two merges."""
    windows: dict[_WindowKey, list[Fragment]] = {}
    for fragment in fragments:
        windows.setdefault(_window_of(fragment), []).append(fragment)
    merges: list[Merge] = []
    for _, members in sorted(windows.items(), key=lambda item: -item[0][2]):
        merges += _plan_window(members, now_ns, settings)
    return merges


def _plan_window(fragments: Sequence[Fragment], now_ns: int, settings: CompactionSettings) -> list[Merge]:
    classes: dict[int, list[Fragment]] = {}
    for fragment in fragments:
        classes.setdefault(_class_of(fragment.bytes, settings), []).append(fragment)
    full = [
        _take(sorted(members, key=lambda f: (f.created_ns, f.id)), settings)
        for _, members in sorted(classes.items())
        if len(members) >= settings.fragments_per_class
    ]
    if not any(full) and _closed(fragments, now_ns, settings):
        small = [fragment for fragment in fragments if fragment.bytes < settings.small_bytes]
        full = [_take(sorted(small, key=lambda f: (f.bytes, f.id)), settings)]
    return [Merge(inputs) for inputs in full if len(inputs) > 1]


def _class_of(size: int, settings: CompactionSettings) -> int:
    return max(0, math.floor(math.log(max(size, 1) / settings.class_base_bytes, settings.class_factor)) + 1)


def _take(candidates: Sequence[Fragment], settings: CompactionSettings) -> tuple[Fragment, ...]:
    """As many of the first candidates as one merge may have."""
    taken, total = 0, 0
    for fragment in candidates[: settings.inputs_max]:
        total += fragment.bytes
        if total > settings.input_bytes_max:
            break
        taken += 1
    return tuple(candidates[:taken])


def _closed(fragments: Sequence[Fragment], now_ns: int, settings: CompactionSettings) -> bool:
    last_change_ns = max(max(f.window_start_ns + f.window_ns, f.created_ns) for f in fragments)
    return now_ns - last_change_ns > settings.closed_after_s * 1e9


def _window_of(fragment: Fragment) -> _WindowKey:
    return fragment.tenant, fragment.table, fragment.window_start_ns, fragment.window_ns


@dataclass(slots=True)
class CompactionCounts:
    """Counters since the start."""

    merges: int = 0
    inputs: int = 0
    rows: int = 0
    conflicts: int = 0
    failures: int = 0
    collected: int = 0


class Compactor:
    """One background task that merges and then deletes what merges made superfluous.

    Several compactors may run on one catalog: the first to publish wins, the others throw their output away.
    """

    def __init__(
        self, catalog: Catalog, objects: FragmentObjects, clock: Clock, settings: CompactionSettings | None = None
    ) -> None:
        self.counts = CompactionCounts()
        self._collected_s = -math.inf
        self._catalog, self._objects, self._clock = catalog, objects, clock
        self._settings = settings or CompactionSettings()
        self._changed: set[_WindowKey] = set()
        self._waiting: dict[_WindowKey, float] = {}  # windows with something left to merge once they are closed, and when
        self._task: asyncio.Task[None] | None = None

    def published(self, change: Publication) -> None:
        """Hear of new fragments (a hook for `Writer.flushed`): only their windows are looked at until the next sweep."""
        self._changed.update(_window_of(fragment) for fragment in change.add)

    @property
    def pending(self) -> int:
        """Windows that are to be looked at, now or once they are closed."""
        return len(self._changed) + len(self._waiting)

    def start(self) -> None:
        """Run in the background until `close`."""
        self._task = asyncio.create_task(self._run_forever())

    async def close(self) -> None:
        """Stop; a merge in flight is abandoned."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run_once(self) -> int:
        """Look at every window once and do what is planned; the number of merges done."""
        self._changed.clear()
        done = 0
        for tenant in await self._catalog.tenants():
            for table in await self._catalog.tables(tenant):
                done += await self._merge_all(await self._catalog.fragments(tenant, table))
        await self.collect()
        return done

    async def collect(self) -> int:
        """Delete objects of fragments retired longer than the grace; readers of old snapshots have had that long."""
        self._collected_s = self._clock.monotonic_s()
        deleted = await collect(self._catalog, self._objects, self._clock, self._settings.retired_grace_s)
        self.counts.collected += deleted
        return deleted

    async def merge(self, merge: Merge) -> Fragment | None:
        """Do one merge; None when another compactor (or a delete) was first."""
        output = await self._write(merge)
        try:
            change = Publication(add=(output,), retire=tuple(fragment.id for fragment in merge.inputs))
            await self._catalog.publish(change)
        except Conflict:
            self.counts.conflicts += 1
            await self._objects.delete([output.key])
            return None
        self._count(merge, output)
        return output

    async def _run_forever(self) -> None:
        swept_s = -math.inf
        while True:
            try:
                if self._clock.monotonic_s() - swept_s >= self._settings.sweep_s:
                    await self.run_once()
                    swept_s = self._clock.monotonic_s()
                else:
                    await self._run_changed()
                    await self._collect_due()
            except Exception as error:
                self.counts.failures += 1
                _log.warning("compaction failed, trying again: %s", error)
            await self._clock.sleep(self._settings.interval_s)

    async def _collect_due(self) -> None:
        """Once per grace: no file stays longer than twice its time."""
        if self._clock.monotonic_s() - self._collected_s >= self._settings.retired_grace_s:
            await self.collect()

    async def _run_changed(self) -> None:
        now_s = self._clock.monotonic_s()
        self._changed.update(window for window, due_s in self._waiting.items() if due_s <= now_s)
        for window in sorted(self._changed, key=lambda window: -window[2]):
            await self._run_window(window)
            self._changed.discard(window)

    async def _run_window(self, window: _WindowKey) -> None:
        """Merge what is due; while a window is open, come back once it may be closed."""
        self._waiting.pop(window, None)
        tenant, table, start_ns, width_ns = window
        found = await self._catalog.snapshot(tenant, table, TimeRange(start_ns, start_ns + width_ns))
        members = [f for f in found.fragments if (f.window_start_ns, f.window_ns) == (start_ns, width_ns)]
        merged = await self._merge_all(members)
        small = sum(fragment.bytes < self._settings.small_bytes for fragment in members)
        if merged:  # the next size class may be full now
            self._waiting[window] = self._clock.monotonic_s()
        elif small > 1 and not _closed(members, self._clock.now_ns(), self._settings):
            self._waiting[window] = self._clock.monotonic_s() + self._settings.closed_after_s

    async def _merge_all(self, fragments: Sequence[Fragment]) -> int:
        done = 0
        for merge in plan(fragments, self._clock.now_ns(), self._settings):
            done += await self._try_merge(merge) is not None
        return done

    async def _try_merge(self, merge: Merge) -> Fragment | None:
        """A window that cannot be merged must not keep the others from it; it is tried again when it changes or is swept."""
        try:
            return await self.merge(merge)
        except Exception as error:
            self.counts.failures += 1
            _log.warning("%d fragments of %s stay unmerged for now: %s", len(merge.inputs), merge.first.table, error)
            return None

    async def _write(self, merge: Merge) -> Fragment:
        """Merge to the spool, check, store. Nothing is left behind when it fails."""
        now_ns = self._clock.now_ns()
        spooled = self._objects.spool_path(new_id(now_ns, self._clock.random))
        lease = await self._objects.lease(merge.inputs)
        doubt = False
        try:
            inputs = [lease.paths[fragment.id] for fragment in merge.inputs]
            output = await asyncio.to_thread(self._merge_files, merge, inputs, spooled, now_ns)
            await self._store(output, spooled)
        except (Corrupt, ValueError):
            doubt = True
            raise
        finally:
            lease.release(doubt)
            self._objects.discard(spooled)
        return output

    def _merge_files(self, merge: Merge, inputs: Sequence[Path], output: Path, now_ns: int) -> Fragment:
        origin = _origin_of(merge, [read_footer(path) for path in inputs], output.stem, now_ns)
        arguments = self._settings.write.arguments(table_definition(origin.table))
        names = [str(path) for path in inputs]
        description = _native.merge_fragments(names, str(output), **arguments, metadata=origin.metadata())
        fragment = fragment_of(origin, description)
        expected = sum(item.rows for item in merge.inputs)
        if fragment.rows != expected:
            raise Corrupt(
                f"a merge of {expected} rows made {fragment.rows}; its inputs stay", hint="run `pulka store check`"
            )
        return fragment

    async def _store(self, fragment: Fragment, path: Path) -> None:
        try:
            await self._objects.put(fragment, path)
        except BaseException:
            await self._objects.delete([fragment.key])
            raise

    def _count(self, merge: Merge, output: Fragment) -> None:
        self.counts.merges += 1
        self.counts.inputs += len(merge.inputs)
        self.counts.rows += output.rows


def _origin_of(merge: Merge, footers: Sequence[Mapping[str, str]], fragment_id: str, now_ns: int) -> FragmentOrigin:
    first = merge.first
    origins = [FragmentOrigin.read(footer) for footer in footers]
    return FragmentOrigin(
        fragment_id, first.tenant, first.table, first.window_start_ns, first.window_ns,
        level=1 + max(fragment.level for fragment in merge.inputs), created_ns=now_ns,
        positions=coalesce([position for origin in origins for position in origin.positions]),
        inputs=tuple(fragment.id for fragment in merge.inputs),
    )  # fmt: skip
