"""The newest rows first: a query for them reads one stretch of time after the other, and stops when it has enough.

DataFusion alone skips row groups once it knows a hundred newer rows, but begins anywhere, opens every file, and needs all of them at hand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from datafusion.plan import LogicalPlan

from pulka.model.fields import TIMESTAMP
from pulka.model.windows import TimeRange
from pulka.query.limits import NO_END
from pulka.query.nodes import chain
from pulka.query.source import Source, fresh_within
from pulka.seams import Fragment

__all__ = ["Step", "fewer", "newest_rows", "steps"]

Step = tuple[list[Source], TimeRange]
"""What is read of a stretch of time."""
_FIRST_ROWS = 1 << 19
"""So many rows are scanned in about the time that planning takes."""
_GROWTH = 4


def newest_rows(plan: LogicalPlan) -> int | None:
    """How many rows a plan wants that does nothing but filter one table and take the newest rows; None of any other plan."""
    found = chain(plan)
    at = next((number for number, one in enumerate(found) if type(one).__name__ == "Sort"), None)
    if at is None:
        return None
    above, sort, below = found[:at], found[at], found[at + 1 :]
    if any(type(one).__name__ != "Projection" for one in above) or not _is_plain([type(one).__name__ for one in below]):
        return None
    first = sort.sort_exprs()[0]
    names = {below[-1].table_name(), *(one.alias() for one in below if type(one).__name__ == "SubqueryAlias")}
    if first.ascending() or first.expr().variant_name() != "Column" or first.expr().canonical_name() not in {f"{name}.{TIMESTAMP}" for name in names}:
        return None
    wanted: int | None = sort.get_fetch_val()
    return NO_END if wanted is None else wanted


def _is_plain(kinds: list[str]) -> bool:
    """Filters and projections over a table, whose alias, if any, stands for the table itself and not for a projection of it."""
    if not kinds or kinds[-1] != "TableScan" or set(kinds[:-1]) - {"Projection", "Filter", "SubqueryAlias"}:
        return False
    return "Projection" not in kinds[kinds.index("SubqueryAlias") :] if "SubqueryAlias" in kinds else True


def steps(source: Source, window: TimeRange, wanted: int) -> list[Step]:
    """`source` in disjoint stretches of time within `window`, the newest first, each of more rows than the one before."""
    rows, found, end = max(wanted if wanted < NO_END else 0, _FIRST_ROWS), list[tuple[list[Fragment], TimeRange]](), window.end_ns
    own: list[Fragment] = []
    for members, start in _apart(source.fragments):
        own += members
        if sum(one.rows for one in own) >= rows:
            found.append((own, TimeRange(start, end)))
            own, end, rows = [], start, rows * _GROWTH
    if own or not found:
        found.append((own, TimeRange(window.start_ns, end)))
    found[-1] = found[-1][0], TimeRange(window.start_ns, found[-1][1].end_ns)
    return [(_part(source, *one, bool(number)), one[1]) for number, one in enumerate(found)]


def _part(source: Source, fragments: list[Fragment], window: TimeRange, later: bool) -> list[Source]:
    """Fresh rows may be of any time; what was pruned counts once."""
    return [replace(source, fragments=fragments, fresh=fresh_within(source.fresh, window), pruned={} if later else source.pruned)]


def fewer(some: list[Step]) -> list[Step]:
    """Behind a search, which reads so little that planning it costs more, all other steps in one."""
    found = some[0][0][0].found if some[0][0] else None
    if len(some) <= 2 or found is None or found.given_up:
        return some
    rest = [one for sources, _ in some[1:] for one in sources]
    fragments = [fragment for one in rest for fragment in one.fragments]
    fresh = {at: batch for one in rest for at, batch in one.fresh}
    return [some[0], ([replace(rest[0], fragments=fragments, fresh=list(fresh.items()))], TimeRange(some[-1][1].start_ns, some[1][1].end_ns))]


def _apart(fragments: Sequence[Fragment]) -> Iterator[tuple[list[Fragment], int]]:
    """Groups of fragments that do not overlap in time, the newest first, each with the time at which it begins."""
    own: list[Fragment] = []
    start = 0
    for one in sorted(fragments, key=lambda one: -one.max_ns):
        if own and one.max_ns < start:
            yield own, start
            own = []
        start = min(start, one.min_ns) if own else one.min_ns
        own.append(one)
    if own:
        yield own, start
