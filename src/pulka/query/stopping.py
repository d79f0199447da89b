"""Stops the work of a query that is over where DataFusion itself would go on.

A task of DataFusion rests when it waits for a file, or after 128 batches, which are a million rows; to gather a million distinct texts takes
a second. So what reads for such queries asks for each batch whether anybody still wants it, 15 us each. Considered: smaller batches
(regular expressions are compiled anew for each of them), and a process of their own (half a second more for queries that take one).
"""

import re
from collections.abc import Callable

import pyarrow as pa
from datafusion import DataFrame, lit, udf

from pulka.errors import Cancelled
from pulka.query.source import Source

__all__ = ["goes_on", "lingers"]

_SLOW = re.compile(r"\bdistinct\b|\b(?:array_agg|string_agg|median|regexp_\w+)\s*\(|~", re.I)
_ROWS_MIN = 1 << 18
_EVERY_ROW = pa.repeat(pa.scalar(True), 8192)


def lingers(sql: str, source: Source) -> bool:
    """Whether what DataFusion does with its rows between two rests may take longer than anybody should wait for its end."""
    reads_text = any(source.use.table.fields[path].type == "str" for path in source.use.columns)
    return reads_text and source.rows >= _ROWS_MIN and _SLOW.search(sql) is not None


def goes_on(scan: DataFrame, is_over: Callable[[], bool]) -> DataFrame:
    """All rows of the scan, unless the query is over, which threads of the engine ask."""

    def every_row(numbers: pa.Array) -> pa.Array:
        if is_over():
            raise Cancelled("the query is over")
        rows = len(numbers)
        return _EVERY_ROW[:rows] if rows <= len(_EVERY_ROW) else pa.repeat(pa.scalar(True), rows)

    return scan.filter(udf(every_row, [pa.int64()], pa.bool_(), "volatile", "goes_on")(lit(0)))
