"""Where a fragment lies in the sort order of its table, as far as its column statistics tell."""

from dataclasses import dataclass
from typing import Any

from pulka.model.tables import table as table_definition
from pulka.seams import ColumnStats, Fragment

__all__ = ["KeyRange", "key_range"]

Part = tuple[Any, ...]
Key = tuple[Part, ...]

# One part of a key, per sort column: below all values, a value as (1, type, value), above all values, null (always last).
_BELOW: Part = (0,)
_ABOVE: Part = (2,)
_NULL: Part = (3,)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The least and greatest sort key a row may have, both inclusive. Never too narrow: text bounds are rounded outwards."""

    low: Key
    high: Key

    @property
    def is_one_key(self) -> bool:
        """Whether all rows have the same key: no merge makes such a fragment narrower."""
        return self.low == self.high


def key_range(fragment: Fragment) -> KeyRange:
    """The range of a fragment's sort keys: all sort columns but a last `timestamp`, as merges cut their outputs.

    The bounds of each column by itself, put side by side, enclose every key: a row's first part is at least the first
    minimum, and only where it equals that does the second part count.
    """
    sort = table_definition(fragment.table).sort
    leading = sort[:-1] if sort[-1:] in (("timestamp",), ("-timestamp",)) else sort
    bounds = [_bounds(fragment, name) for name in leading]
    return KeyRange(tuple(low for low, _ in bounds), tuple(high for _, high in bounds))


def _bounds(fragment: Fragment, sort: str) -> tuple[Part, Part]:
    name = sort.removeprefix("-")
    if name in fragment.residual:
        return _BELOW, _NULL
    stats = next((stats for stats in fragment.columns if stats.column.name == name), None)
    if stats is None or stats.nulls >= fragment.rows:
        return _NULL, _NULL
    low, high = _ends(stats, sort.startswith("-"))
    return low, _NULL if stats.nulls else high


def _ends(stats: ColumnStats, descending: bool) -> tuple[Part, Part]:
    kind, low, high = stats.column.type, stats.min, stats.max
    if descending and isinstance(low, int | float) and isinstance(high, int | float):
        low, high = -high, -low
    elif descending:
        low = high = None  # text has no negative
    return _BELOW if low is None else (1, kind, low), _ABOVE if high is None else (1, kind, high)
