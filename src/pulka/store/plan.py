"""What to merge: a pure function of the catalog and the clock.

Three stages, each of which rewrites a row a bounded number of times:

1. *Size tiers*, lazy and exponential (Cassandra's STCS, RocksDB's universal style): fragments of about one size are
   merged when there are enough of them, and every merge makes a row's fragment `growth` times larger.
2. *Locality levels*: fragments of about `locality_rows` whose sort keys overlap are merged into disjoint ones and
   promoted by one level, so that each level is lexically narrower than the one below (Datadog's Husky; PebblesDB's
   fragmented LSM tree is the same idea). A fragment of a single key is as narrow as it gets and stays.
3. *Folding*: small closed windows of a day become one day window, so that a quiet tenant has few files.

A row is rewritten at most `2 * (log(locality_rows / rows of its flush, growth) + levels_max) + 1` times: tiers and levels of
its window, one fold, tiers and levels of the day. Nothing is merged across a window that is open.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pulka.model.windows import HOUR_NS, window_start
from pulka.seams import Fragment
from pulka.store.fragments import WriteOptions
from pulka.store.keys import key_range
from pulka.store.overlap import Interval, densest, density, within
from pulka.store.split import Window

__all__ = ["DAY_NS", "CompactionSettings", "Merge", "Span", "by_span", "next_close_ns", "plan", "span_of", "urgency"]

DAY_NS = 24 * HOUR_NS


@dataclass(frozen=True, slots=True)
class CompactionSettings:
    """What is merged when, and at what cost. Bytes are those of the Parquet objects unless said otherwise."""

    # Size tiers.
    class_factor: float = 8.0
    class_base_rows: int = 4096
    fragments_per_class: int = 8
    growth: float = 1.5
    # From either size on, fragments are merged by locality.
    locality_rows: int = 1_000_000
    locality_bytes: int = 64 << 20
    locality_factor: float = 2.0
    levels_max: int = 8
    # In a closed window, fragments of a level are merged if at least so many lie over each other on average.
    overlap_min: float = 1.5
    # Closed windows of less than this fold into days.
    fold_bytes: int = 8 << 20
    # One merge.
    inputs_max: int = 32
    input_bytes_max: int = 1 << 30
    memory_bytes: int = 128 << 20
    # A window that ended, and got its last unmerged fragment, this long ago is closed.
    closed_after_s: float = 900.0
    # The worker.
    turn_bytes: int = 256 << 20
    cpu_share: float = 1.0
    interval_s: float = 5.0
    sweep_s: float = 600.0
    retry_s: float = 30.0
    retired_grace_s: float = 300.0
    write: WriteOptions = field(default_factory=WriteOptions)


@dataclass(frozen=True, slots=True)
class Merge:
    """Fragments of one table that become `outputs` (about) with disjoint sort keys, in one window and level.

    `stage` is `tier`, `closing`, `fold`, `level N` (of the inputs) or `rewrite`; `reason` is a sentence for people.
    """

    inputs: tuple[Fragment, ...]
    window: Window
    level: int = 1
    outputs: int = 1
    stage: str = "tier"
    reason: str = ""

    @classmethod
    def rewrite(cls, fragment: Fragment, reason: str) -> "Merge":
        """The fragment by itself, at its own place: to leave rows out."""
        return cls((fragment,), _window_of(fragment), fragment.level, 1, "rewrite", reason)

    @property
    def first(self) -> Fragment:
        """Any input tells tenant and table."""
        return self.inputs[0]

    @property
    def bytes(self) -> int:
        """Bytes to read."""
        return sum(fragment.bytes for fragment in self.inputs)

    @property
    def rows(self) -> int:
        """Rows to read."""
        return sum(fragment.rows for fragment in self.inputs)

    @property
    def output_rows(self) -> int:
        """Rows from which on an output ends where the sort key changes; 0 for a single output."""
        return math.ceil(self.rows / self.outputs) if self.outputs > 1 else 0


class Span(NamedTuple):
    """What is planned together: a UTC day of one table, or a window that is longer than a day."""

    tenant: str
    table: str
    window: Window


def plan(fragments: Iterable[Fragment], now_ns: int, settings: CompactionSettings) -> list[Merge]:
    """What to merge, the most urgent first: newest windows, then the most inputs. No fragment is in two merges."""
    spans = by_span(fragments).items()
    merges = [merge for span, members in spans for merge in _plan_span(span.window, members, now_ns, settings)]
    return sorted(merges, key=urgency)


def urgency(merge: Merge) -> tuple[int, int, int, str]:
    """Sorts merges: the newest windows first, within them the small fragments, of those the most."""
    return -merge.window.start_ns, merge.level, -len(merge.inputs), merge.first.id


def by_span(fragments: Iterable[Fragment]) -> dict[Span, list[Fragment]]:
    """Fragments that are planned together."""
    spans: dict[Span, list[Fragment]] = {}
    for fragment in fragments:
        spans.setdefault(span_of(fragment), []).append(fragment)
    return spans


def span_of(fragment: Fragment) -> Span:
    """The span that a fragment is planned in."""
    window = _window_of(fragment)
    return Span(fragment.tenant, fragment.table, _day_of(window) if _folds(window) else window)


def next_close_ns(fragments: Iterable[Fragment], now_ns: int, settings: CompactionSettings) -> int | None:
    """When the next window of a span closes; None when all are closed."""
    windows = _by_window(fragments)
    closes = [_closes_ns(window, members, settings) for window, members in windows.items()]
    closes += [_closes_ns(_day_of(window), members, settings) for window, members in windows.items() if _folds(window)]
    return min((close for close in closes if close >= now_ns), default=None)


def _plan_span(span: Window, fragments: Sequence[Fragment], now_ns: int, settings: CompactionSettings) -> Iterator[Merge]:
    foldable: list[Fragment] = []
    for window, members in _by_window(fragments).items():
        closed = _closes_ns(window, members, settings) < now_ns
        if closed and _folds(window) and sum(f.bytes for f in members) < settings.fold_bytes:
            foldable += members
        else:
            yield from _plan_window(window, members, closed, settings)
    yield from _fold(span, foldable, _closes_ns(span, foldable, settings) < now_ns, settings)


def _plan_window(window: Window, fragments: Sequence[Fragment], closed: bool, settings: CompactionSettings) -> Iterator[Merge]:
    small = [f for f in fragments if f.level < 2 and not _is_full(f, settings)]
    tiers = list(_tiers(window, small, settings))
    yield from tiers
    if closed and not tiers:
        yield from _closing(window, small, settings)
    small_ids = {f.id for f in small}
    yield from _levels(window, [f for f in fragments if f.id not in small_ids], closed, settings)


# Size tiers


def _is_full(fragment: Fragment, settings: CompactionSettings) -> bool:
    return fragment.rows >= settings.locality_rows or fragment.bytes >= settings.locality_bytes


def _tiers(window: Window, fragments: Sequence[Fragment], settings: CompactionSettings) -> Iterator[Merge]:
    classes: dict[int, list[Fragment]] = {}
    for fragment in fragments:
        classes.setdefault(_class_of(fragment.rows, settings), []).append(fragment)
    for number, members in sorted(classes.items()):
        for inputs in _batches(members, settings):
            grown = _growing(inputs, settings)
            if len(grown) >= settings.fragments_per_class:
                yield _tier(window, grown, "tier", f"{len(grown)} fragments of size class {number}", settings)


def _class_of(rows: int, settings: CompactionSettings) -> int:
    return max(0, math.floor(math.log(max(rows, 1) / settings.class_base_rows, settings.class_factor)) + 1)


def _closing(window: Window, fragments: Sequence[Fragment], settings: CompactionSettings) -> Iterator[Merge]:
    """The last few of a closed window, the smallest first."""
    smallest = _take(sorted(fragments, key=lambda f: (f.rows, f.id)), settings)
    inputs = _growing(smallest, settings)
    if len(inputs) > 1:
        yield _tier(window, inputs, "closing", f"the last {len(inputs)} small fragments of a closed window", settings)


def _growing(fragments: Sequence[Fragment], settings: CompactionSettings) -> Sequence[Fragment]:
    """Without those that are so large that rewriting them for the sake of the others does not pay."""
    kept = sorted(fragments, key=lambda f: (f.rows, f.id))
    rows = sum(f.rows for f in kept)
    while kept and kept[-1].rows * settings.growth > rows:
        rows -= kept.pop().rows
    return sorted(kept, key=_age)


def _tier(window: Window, inputs: Sequence[Fragment], stage: str, reason: str, settings: CompactionSettings) -> Merge:
    """One larger fragment; once that would be larger than a level's, several disjoint ones that skip the first level."""
    rows, size = sum(f.rows for f in inputs), sum(f.bytes for f in inputs)
    outputs = max(1, rows // settings.locality_rows, size // settings.locality_bytes)
    return Merge(tuple(inputs), window, 1 if outputs == 1 else 2, outputs, stage, reason)


# Locality levels


def _levels(window: Window, fragments: Sequence[Fragment], closed: bool, settings: CompactionSettings) -> Iterator[Merge]:
    levels: dict[int, list[Interval[Fragment]]] = {}
    for interval in _intervals(fragments):
        levels.setdefault(max(interval.item.level, 1), []).append(interval)
    for level, members in sorted(levels.items()):
        if level < settings.levels_max:
            for inputs in _overlapping(members, closed, settings):
                yield _promotion(window, level, inputs, settings)


def _intervals(fragments: Sequence[Fragment]) -> list[Interval[Fragment]]:
    """Where the fragments that a merge can make narrower lie in the sort order."""
    ranges = [(fragment, key_range(fragment)) for fragment in sorted(fragments, key=_age)] if len(fragments) > 1 else []
    ranks = {key: rank for rank, key in enumerate(sorted({key for _, r in ranges for key in (r.low, r.high)}))}
    return [Interval(ranks[r.low], ranks[r.high], fragment) for fragment, r in ranges if not r.is_one_key]


def _overlapping(intervals: Sequence[Interval[Fragment]], closed: bool, settings: CompactionSettings) -> Iterator[list[Fragment]]:
    """Groups that lie over each other, the deepest first."""
    left = list(intervals)
    while group := _deepest(left, closed, settings):
        yield [interval.item for interval in group]
        gone = {interval.item.id for interval in group}
        left = [interval for interval in left if interval.item.id not in gone]


def _deepest(intervals: Sequence[Interval[Fragment]], closed: bool, settings: CompactionSettings) -> list[Interval[Fragment]]:
    for clique in densest(intervals):
        if len(clique) < (2 if closed else settings.fragments_per_class):
            break
        group = _take_intervals(clique, settings)
        group = _take_intervals(group + within(intervals, group), settings)
        # Outputs of one merge are disjoint, though the bounds of text columns may not tell.
        strangers = len({interval.item.created_ns for interval in group}) > 1
        if strangers and density(group) >= settings.overlap_min:
            return group
    return []


def _take_intervals(intervals: list[Interval[Fragment]], settings: CompactionSettings) -> list[Interval[Fragment]]:
    kept = {f.id for f in _take([interval.item for interval in intervals], settings)}
    return [interval for interval in intervals if interval.item.id in kept]


def _promotion(window: Window, level: int, inputs: Sequence[Fragment], settings: CompactionSettings) -> Merge:
    rows, size = sum(f.rows for f in inputs), sum(f.bytes for f in inputs)
    budget_rows = int(settings.locality_rows * settings.locality_factor**level)
    # Not so large that a merge of enough of them would pass its limit.
    budget_bytes = settings.input_bytes_max // settings.fragments_per_class
    outputs = max(1, rows // budget_rows, size // budget_bytes)
    reason = f"{len(inputs)} fragments of level {level} overlap in their sort keys"
    return Merge(tuple(inputs), window, level + 1, outputs, f"level {level}", reason)


# Folding


def _fold(day: Window, fragments: Sequence[Fragment], closed: bool, settings: CompactionSettings) -> Iterator[Merge]:
    """Small closed windows of a day into a day window; each row once."""
    for inputs in _batches(fragments, settings):
        if len(inputs) >= (2 if closed else settings.fragments_per_class):
            windows = len({f.window_start_ns for f in inputs})
            yield _tier(day, inputs, "fold", f"{len(inputs)} fragments of {windows} small closed windows of a day", settings)


def _folds(window: Window) -> bool:
    return window.width_ns < DAY_NS and _day_of(window).start_ns + DAY_NS >= window.start_ns + window.width_ns


def _day_of(window: Window) -> Window:
    return Window(window_start(window.start_ns, DAY_NS), DAY_NS)


# Windows and bounds


def _window_of(fragment: Fragment) -> Window:
    return Window(fragment.window_start_ns, fragment.window_ns)


def _by_window(fragments: Iterable[Fragment]) -> Mapping[Window, list[Fragment]]:
    windows: dict[Window, list[Fragment]] = {}
    for fragment in fragments:
        windows.setdefault(_window_of(fragment), []).append(fragment)
    return windows


def _closes_ns(window: Window, fragments: Sequence[Fragment], settings: CompactionSettings) -> int:
    last_change_ns = max((window.start_ns + window.width_ns, *(f.created_ns for f in fragments if f.level == 0)))
    return last_change_ns + int(settings.closed_after_s * 1e9)


def _age(fragment: Fragment) -> tuple[int, int, str]:
    return fragment.window_start_ns, fragment.created_ns, fragment.id


def _batches(fragments: Sequence[Fragment], settings: CompactionSettings) -> Iterator[Sequence[Fragment]]:
    """The fragments, oldest first, in groups that one merge may have: neighbours in time stay neighbours."""
    left = sorted(fragments, key=_age)
    while left:
        batch = _take(left, settings) or left[:1]
        yield batch
        left = left[len(batch) :]


def _take(candidates: Sequence[Fragment], settings: CompactionSettings) -> Sequence[Fragment]:
    """As many of the first candidates as one merge may have."""
    taken, total = 0, 0
    for fragment in candidates[: settings.inputs_max]:
        total += fragment.bytes
        if total > settings.input_bytes_max:
            break
        taken += 1
    return candidates[:taken]
