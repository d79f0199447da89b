"""Plan once, against empty tables: which fields of which table a query uses, and what its filters say of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datafusion.plan import LogicalPlan

from pulka.model.fields import TIMESTAMP
from pulka.model.windows import TimeRange
from pulka.query.counted import Counted
from pulka.query.exact import Exact, exact
from pulka.query.filters import read
from pulka.query.nodes import nodes
from pulka.query.predicate import ANYTHING, All, AnyOf, Compare, Predicate, conjuncts
from pulka.query.schema import LogicalTable

__all__ = ["Use", "uses"]


@dataclass(slots=True)
class Use:
    """How a query uses one table: the fields it reads, and one predicate for each time it scans the table."""

    table: LogicalTable
    columns: set[str] = field(default_factory=set)
    scans: list[Predicate] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    exact: Exact = field(default_factory=Exact)
    """Of the last scan."""
    counted: Counted | None = None
    """How rows of this table, the only one, may be counted instead."""

    def predicate(self) -> Predicate:
        """What is true of every row that any of the scans can use."""
        return AnyOf(tuple(self.scans))

    def window(self, outer: TimeRange) -> TimeRange:
        """The hull of the time ranges of all scans, within `outer`."""
        ranges = [_time_range(scan) for scan in self.scans]
        starts, ends = [one.start_ns for one in ranges], [one.end_ns for one in ranges]
        start = None if None in starts else min(starts, default=None)  # type: ignore[type-var]
        end = None if None in ends else max(ends, default=None)  # type: ignore[type-var]
        return _intersect(TimeRange(start, end), outer)


def uses(plan: LogicalPlan, tables: Mapping[str, LogicalTable]) -> dict[str, Use]:
    """The tables an optimised plan scans."""
    found: dict[str, Use] = {}
    scans = 0
    for variant, parent in nodes(plan):
        if type(variant).__name__ == "TableScan":
            scans += 1
            if variant.table_name() in tables:  # the others are table functions, such as generate_series
                _note_scan(found, variant, parent, tables)
    # A scan inside an expression that the binding cannot show: then every table may be read in full.
    return found if scans == plan.display_indent().count("TableScan:") else _everything(tables)


def _note_scan(found: dict[str, Use], scan: Any, parent: Any, tables: Mapping[str, LogicalTable]) -> None:
    table = tables[scan.table_name()]
    use = found.setdefault(table.name, Use(table))
    use.columns.update(name for _, name in scan.projection())
    if type(parent).__name__ != "Filter":
        use.scans.append(ANYTHING)
        return
    use.scans.append(read(parent.predicate(), table))
    use.exact = exact(parent.predicate(), table)
    use.filters.append(str(parent.predicate().canonical_name()))


def _everything(tables: Mapping[str, LogicalTable]) -> dict[str, Use]:
    return {name: Use(table, set(table.fields), [ANYTHING]) for name, table in tables.items()}


def _time_range(predicate: Predicate) -> TimeRange:
    bounds = TimeRange()
    for part in conjuncts(predicate):
        bounds = _intersect(bounds, _time_bound(part))
    return bounds


def _time_bound(part: Predicate) -> TimeRange:
    if isinstance(part, All):
        return _time_range(part)
    if not isinstance(part, Compare) or part.path != TIMESTAMP:
        return TimeRange()
    value = part.value
    match part.op:
        case ">" | ">=":
            return TimeRange(value, None)
        case "<" | "<=":
            return TimeRange(None, value + (part.op == "<="))
        case "=":
            return TimeRange(value, value + 1)
    return TimeRange()


def _intersect(one: TimeRange, other: TimeRange) -> TimeRange:
    starts = [start for start in (one.start_ns, other.start_ns) if start is not None]
    ends = [end for end in (one.end_ns, other.end_ns) if end is not None]
    return TimeRange(max(starts, default=None), min(ends, default=None))
