"""Which share of rows passes a filter of numbers, measured: on one row group in the middle of the largest fragment.

Considered: an estimate from the least and the largest value. Durations and sizes have long tails, so it takes the few slow ones for most.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pulka.query.predicate import AnyOf, Compare, Predicate
from pulka.seams import Fragment

__all__ = ["measured_share", "numbers_of"]

_NUMBERS = ("i64", "f64")
_OPERATORS: Mapping[str, Callable[[Any, Any], pa.ChunkedArray]] = {
    "=": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip


def numbers_of(part: Predicate) -> list[Compare] | None:
    """The comparisons with numbers that a part of a filter consists of, any of which must hold; None when it says anything else."""
    found = [part] if isinstance(part, Compare) else list(part.parts) if isinstance(part, AnyOf) else []
    numbers = [one for one in found if isinstance(one, Compare) and isinstance(one.value, int | float) and not isinstance(one.value, bool)]
    return numbers if numbers and len(numbers) == len(found) else None


def measured_share(parts: Sequence[Sequence[Compare]], fragments: Sequence[Fragment], paths: Mapping[str, Path]) -> float | None:
    """Of rows that pass all `parts`, each in any of its comparisons; None when the fields are not plain columns of numbers that can be read."""
    fragment = max(fragments, key=lambda one: one.rows)
    columns = {one.path: _column(fragment, one.path) for part in parts for one in part}
    if None in columns.values():
        return None
    try:
        with pq.ParquetFile(paths[fragment.id]) as file:
            rows = file.read_row_group(file.num_row_groups // 2, columns=list(columns.values()))
    except (OSError, pa.ArrowException):
        return None  # the scan will say so
    passing = reduce(pc.and_, (reduce(pc.or_, (_OPERATORS[one.op](rows[columns[one.path]], one.value) for one in part)) for part in parts))
    share: float = (pc.sum(passing).as_py() or 0) / max(1, rows.num_rows)
    return share


def _column(fragment: Fragment, path: str) -> str | None:
    own = fragment.columns_of(path)
    return own[0].column.name if len(own) == 1 and own[0].column.type in _NUMBERS and path not in fragment.residual else None
