"""What a query reads of one table."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pulka.model.fields import TIMESTAMP
from pulka.model.windows import TimeRange
from pulka.query.plan import Use
from pulka.query.removal import Hidden
from pulka.query.search_scan import Found
from pulka.seams import Fragment, Position

__all__ = ["Source", "fresh_within"]


@dataclass(slots=True)
class Source:
    """What a query reads of one table, after pruning."""

    use: Use
    window: TimeRange
    fragments: list[Fragment]
    fresh: list[tuple[Position, pa.RecordBatch]]
    pruned: dict[str, int]
    hidden: Hidden = field(default_factory=Hidden)
    found: Found | None = None

    @property
    def total(self) -> int:
        """Fragments before pruning."""
        return len(self.fragments) + sum(self.pruned.values())

    @property
    def scanned(self) -> list[Fragment]:
        """The fragments DataFusion reads itself."""
        return [one for one in self.fragments if self.found is None or one.id not in self.found.rows]

    @property
    def searched(self) -> list[tuple[Fragment, pa.RecordBatch]]:
        """What a search found, in batches of physical columns."""
        found = {} if self.found is None else self.found.rows
        return [(one, batch) for one in self.fragments for batch in found.get(one.id, ())]

    @property
    def is_counted(self) -> bool:
        """Rows are found that stand for several; all others stand for themselves."""
        return self.found is not None and self.found.counted

    @property
    def is_empty(self) -> bool:
        """Nothing is read."""
        return not (self.fresh or self.scanned or self.searched)

    @property
    def fresh_rows(self) -> int:
        """Rows that are not in a fragment yet."""
        return sum(batch.num_rows for _, batch in self.fresh)

    @property
    def rows(self) -> int:
        """At most so many rows are read."""
        found: int = sum(batch.num_rows for _, batch in self.searched)
        return self.fresh_rows + sum(fragment.rows for fragment in self.scanned) + found

    @property
    def bytes(self) -> int:
        """Bytes of the fragments that are read, and of what a search has read."""
        found = 0 if self.found is None else self.found.bytes_read
        return found + sum(fragment.bytes for fragment in self.scanned)


def fresh_within(fresh: Sequence[tuple[Position, pa.RecordBatch]], window: TimeRange) -> list[tuple[Position, pa.RecordBatch]]:
    """The batches that have rows in `window`, or may have: events mostly come when they happen."""
    if window.start_ns is None and window.end_ns is None:
        return list(fresh)
    return [(at, batch) for at, batch in fresh if window.overlaps(*_times(batch))]


def _times(batch: pa.RecordBatch) -> tuple[int, int]:
    bounds = pc.min_max(batch.column(TIMESTAMP).cast(pa.int64()))
    return bounds["min"].as_py(), bounds["max"].as_py()
