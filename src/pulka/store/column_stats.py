"""Column statistics as the catalog keeps them: MessagePack, deflated; a wide fragment's take a few kilobytes.

Fragments are immutable, so what was decoded once is kept, up to a number of bytes.
"""

import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from pulka.model.fields import Column, FieldType
from pulka.seams import Columns, ColumnStats

__all__ = ["Stats", "StatsCache", "encode_stats"]

Stats = tuple[Columns, Mapping[str, frozenset[FieldType]]]

_OBJECT_BYTES_PER_PACKED_BYTE = 8
"""A decoded ColumnStats takes about eight times its MessagePack form (measured on 500 columns)."""


def encode_stats(columns: tuple[ColumnStats, ...], residual: Mapping[str, frozenset[FieldType]]) -> bytes:
    """Statistics of all columns and the residual's fields as one compact blob."""
    rows = [_row(stats) for stats in columns]
    sparse = {path: sorted(types) for path, types in residual.items()}
    return zlib.compress(msgspec.msgpack.encode((rows, sparse)), 3)


def _row(stats: ColumnStats) -> tuple[Any, ...]:
    """Most columns have nothing but numbers; what they lack at the end is left out."""
    column = stats.column
    row = (column.name, column.path, column.type, stats.nulls, stats.min, stats.max)
    text = (stats.values, stats.automaton, stats.words)
    return row + text if text != (None, b"", b"") else row


def _unpack(packed: bytes) -> Stats:
    rows, sparse = msgspec.msgpack.decode(packed)
    columns = Columns(_column_stats(row) for row in rows)
    return columns, {path: _types(tuple(types)) for path, types in sparse.items()}


def _column_stats(row: list[Any]) -> ColumnStats:
    name, path, kind, nulls, low, high, *text = row
    if not text:
        return ColumnStats(_column(name, path, kind), nulls, low, high)
    values, automaton, words = text
    return ColumnStats(
        _column(name, path, kind), nulls, low, high, None if values is None else tuple(values), automaton, words
    )


# Fragments of a table share most of their columns; sharing the objects keeps the cache small.
@lru_cache(maxsize=1 << 16)
def _column(name: str, path: str, kind: FieldType) -> Column:
    return Column(name, path, kind)


@lru_cache(maxsize=1024)
def _types(names: tuple[FieldType, ...]) -> frozenset[FieldType]:
    return frozenset(names)


class StatsCache:
    """Decoded statistics by fragment id, least recently used first out. Safe for threads."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[str, tuple[int, Stats]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, fragment_id: str) -> Stats | None:
        """What was decoded for this fragment, if it is still here."""
        with self._lock:
            kept = self._kept.get(fragment_id)
            if kept is None:
                return None
            self._kept.move_to_end(fragment_id)
            return kept[1]

    def decode(self, fragment_id: str, blob: bytes) -> Stats:
        """Inverse of `encode_stats`; remembers what it decoded for this fragment."""
        packed = zlib.decompress(blob)
        stats = _unpack(packed)
        as_they_are = sum(len(column.automaton) + len(column.words) for column in stats[0])
        size = (len(packed) - as_they_are) * _OBJECT_BYTES_PER_PACKED_BYTE + as_they_are
        self._remember(fragment_id, size, stats)
        return stats

    def _remember(self, fragment_id: str, size: int, stats: Stats) -> None:
        with self._lock:
            self._bytes += size - self._kept.pop(fragment_id, (0, None))[0]
            self._kept[fragment_id] = size, stats
            while self._bytes > self._bytes_max and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1][0]
