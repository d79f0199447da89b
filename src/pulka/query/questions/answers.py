"""SQL to plain rows: for questions whose answers are small."""

from typing import Any

import pyarrow as pa

from pulka.model.windows import TimeRange
from pulka.query.search.literals import quoted
from pulka.seams import Engine, Limits, QueryStats

__all__ = ["Asked", "quoted"]


class Asked:
    """Questions of one tenant within one window; `stats` are of the last one."""

    def __init__(self, engine: Engine, tenant: str, window: TimeRange = TimeRange(), limits: Limits = Limits()) -> None:  # noqa: B008 - immutable
        self._engine, self._tenant, self._window, self._limits = engine, tenant, window, limits
        self.stats = QueryStats()

    async def rows(self, sql: str, window: TimeRange | None = None, rows_max: int | None = None) -> list[dict[str, Any]]:
        """The answer as rows, with times as ns since 1970."""
        limits = Limits(self._limits.memory_bytes, self._limits.time_s, self._limits.rows if rows_max is None else rows_max)
        result = await self._engine.run(sql, self._tenant, self._window if window is None else window, limits)
        self.stats = result.stats
        return [row async for batch in result.batches for row in _numbered(batch).to_pylist()]


def _numbered(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times as numbers: Python's datetime would lose nanoseconds."""
    columns = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
