"""What is told of the sources of a query: statistics, the pruning funnel, how much there is to read."""

from collections.abc import Mapping, Sequence
from typing import Any

from pulka.query.newest import Step
from pulka.query.queries import Progress
from pulka.query.source import Source
from pulka.seams import QueryStats

__all__ = ["count", "funnel", "leave_out", "plan_to_read"]


def count(stats: QueryStats, sources: list[Source]) -> None:
    """Add what is read of `sources`."""
    for source in sources:
        stats.fragments_total += source.total
        stats.fragments_scanned += len(source.fragments)
        stats.fresh_rows += source.fresh_rows
        stats.bytes_scanned += source.bytes
        _add(stats.fragments_pruned, source.pruned)
        if source.found is not None:
            stats.row_groups_total += source.found.row_groups
            stats.rows_found += source.found.rows_found
            _add(stats.row_groups_pruned, source.found.pruned)


def plan_to_read(progress: Progress, sources: list[Source]) -> None:
    """Note how much there is."""
    progress.fragments_total = sum(len(one.fragments) for one in sources)
    progress.bytes_total = sum(one.bytes for one in sources)


def leave_out(stats: QueryStats, rest: Sequence[Step]) -> None:
    """Fragments of steps that were not needed."""
    unread = sum(len(source.fragments) for sources, _ in rest for source in sources)
    stats.fragments_total += unread
    stats.fragments_pruned["newest"] = unread


def _add(totals: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, number in more.items():
        totals[reason] = totals.get(reason, 0) + number


def funnel(source: Source) -> dict[str, Any]:
    """For `explain`."""
    return {
        "table": source.use.table.name,
        "fragments_total": source.total,
        "pruned": source.pruned,
        "scanned": len(source.fragments),
        "fresh_rows": source.fresh_rows,
        "bytes": source.bytes,
        "columns": sorted(source.use.columns),
        "filters": source.use.filters,
    }
