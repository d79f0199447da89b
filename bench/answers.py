"""Answers of different engines, made comparable."""

import math
from datetime import datetime

import pyarrow as pa

__all__ = ["differ", "plain"]

Row = tuple[object, ...]
_TOLERANCE = 1e-9


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


def differ(found: list[Row], least: list[Row], most: list[Row]) -> str:
    """What of `found` is not between the two, which are the same where the answer is exact; nothing when all is. Floats are compared to nine digits."""
    if not len(found) == len(least) == len(most):
        return f"{len(found)} rows and {len(least)}"
    rows = zip(found, least, most, strict=True)
    return next((f"row {number}: {row} and {low}" for number, (row, low, high) in enumerate(rows) if not all(map(_between, row, low, high))), "")


def _between(value: object, low: object, high: object) -> bool:
    if isinstance(value, float) and isinstance(low, float | int) and isinstance(high, float | int):
        return low <= value <= high or math.isclose(value, low, rel_tol=_TOLERANCE) or math.isclose(value, high, rel_tol=_TOLERANCE)
    return value == low
