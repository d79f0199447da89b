"""Answers of different engines, made comparable."""

import math
from datetime import datetime

import pyarrow as pa

__all__ = ["differ", "plain"]

Row = tuple[object, ...]


def plain(answer: pa.Table) -> list[Row]:
    """Rows as tuples: times as microseconds since 1970, whole decimals as integers, text as text."""
    columns = [[_value(value) for value in _times(column).to_pylist()] for column in answer.columns]
    return list(zip(*columns, strict=True))


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def _value(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime):
        return int(value.timestamp() * 1_000_000)
    return value if value is None or isinstance(value, str | bool | int | float) else int(value)  # type: ignore[call-overload]


def differ(ours: list[Row], theirs: list[Row], tolerance: float) -> str:
    """What is different first, or nothing. Floats may differ by `tolerance`, relative."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows and {len(theirs)}"
    return next((f"row {row}: {a} and {b}" for row, (a, b) in enumerate(zip(ours, theirs, strict=True)) if not _alike(a, b, tolerance)), "")


def _alike(ours: Row, theirs: Row, tolerance: float) -> bool:
    return len(ours) == len(theirs) and all(
        math.isclose(a, b, rel_tol=tolerance) if isinstance(a, float) and isinstance(b, float | int) else a == b for a, b in zip(ours, theirs, strict=True)
    )
