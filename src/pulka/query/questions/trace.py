"""One trace, put together: the tree of its spans, what each does itself, and the path that its duration hangs on.

Self-time is a span's duration without the time any child is running. The critical path goes back from the end of the root:
at any moment the child that finished last is what was waited for (CRISP, Zhang et al. 2022).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pulka.errors import NotFound
from pulka.query.questions.answers import Asked, quoted

__all__ = ["Span", "assemble", "trace"]

_SHOWN = ("span_id", "parent_span_id", "service", "name", "kind", "status", "timestamp", "duration_ns", "trace_id")


@dataclass(slots=True)
class Span:
    """A span within its trace; times in ns."""

    id: str
    parent: str | None
    start: int
    duration: int
    row: Mapping[str, Any] = field(default_factory=dict)
    children: list["Span"] = field(default_factory=list)
    depth: int = 0
    self_ns: int = 0
    critical_ns: int = 0
    is_orphan: bool = False

    @property
    def end(self) -> int:
        """The moment it ends."""
        return self.start + self.duration


async def trace(asked: Asked, trace_id: str, spans_max: int) -> dict[str, Any]:
    """The trace of this id. NotFound when no span has it."""
    sql = f"SELECT * FROM spans WHERE trace_id = {quoted(trace_id)} ORDER BY timestamp"  # noqa: S608 - a quoted literal
    rows = await asked.rows(sql, rows_max=spans_max)
    if not rows:
        raise NotFound("there is no such trace", hint="see whether the window is right; spans of the last second may still be under way")
    stats = asked.stats
    roots, repeated = assemble(map(_span, rows))
    spans = list(_walk(roots))
    return {
        "trace_id": trace_id,
        "start_ns": min(one.start for one in spans),
        "duration_ns": max(one.end for one in spans) - min(one.start for one in spans),
        "services": sorted({str(one.row["service"]) for one in spans if one.row.get("service")}),
        "errors": sum(_is_error(one) for one in spans),
        "repeated": repeated,
        "truncated": stats.truncated,
        "spans": [_shown(one) for one in spans],
        "stats": stats,
    }


def assemble(spans: Iterable[Span]) -> tuple[list[Span], int]:
    """The roots, with their descendants, and how many spans came more than once. A span whose parent is missing is a root;
    so is one of each circle."""
    known: dict[str, Span] = {}
    repeated = 0
    for span in spans:
        repeated += span.id in known
        known.setdefault(span.id, span)
    roots = []
    for span in known.values():
        parent = known.get(span.parent) if span.parent else None
        if parent is None or parent is span:
            span.is_orphan = bool(span.parent) and span.parent not in ("root", span.id)
            roots.append(span)
        else:
            parent.children.append(span)
    roots += _circles(known, roots)
    roots.sort(key=_order)
    for span in _walk(roots):
        span.self_ns = span.duration - _covered(span)
    for root in roots:
        _find_critical_path(root)
    return roots, repeated


def _circles(known: Mapping[str, Span], roots: Sequence[Span]) -> list[Span]:
    """A span of each circle, taken out of it."""
    reached = {id(span) for span in _walk(roots)}
    found = []
    for span in known.values():
        if id(span) not in reached:
            parent = known[span.parent or ""]
            parent.children = [one for one in parent.children if one is not span]
            span.is_orphan = True
            found.append(span)
            reached |= {id(one) for one in _walk([span])}
    return found


def _walk(roots: Sequence[Span]) -> Iterable[Span]:
    """Parents before their children, in the order of their beginnings; without recursion, as traces may be deep."""
    open_ = [(root, 0) for root in reversed(roots)]
    while open_:
        span, depth = open_.pop()
        span.depth = depth
        span.children.sort(key=_order)
        yield span
        open_ += [(child, depth + 1) for child in reversed(span.children)]


def _order(span: Span) -> tuple[int, int, str]:
    return span.start, -span.duration, span.id


def _covered(span: Span) -> int:
    """How much of the span's time at least one child was running. Its children are in order."""
    covered, upto = 0, span.start
    for child in span.children:
        start, end = max(child.start, upto), min(child.end, span.end)
        if end > start:
            covered += end - start
            upto = end
    return covered


def _find_critical_path(root: Span) -> None:
    """Each moment of the root is given to the deepest span that it waits for."""
    open_ = [(root, root.start, root.end)]
    while open_:
        span, start, now = open_.pop()
        for child in sorted(span.children, key=lambda one: one.end, reverse=True):
            ends = min(child.end, now)
            if now <= start or ends <= start or child.start >= now or ends <= child.start:
                continue
            span.critical_ns += now - ends
            begins = max(child.start, start)  # clocks differ: a child may begin before its parent
            open_.append((child, begins, ends))
            now = begins
        span.critical_ns += max(0, now - start)


def _span(row: dict[str, Any]) -> Span:
    return Span(str(row.get("span_id") or ""), row.get("parent_span_id") or None, row["timestamp"], max(0, row.get("duration_ns") or 0), row)


def _is_error(span: Span) -> bool:
    return str(span.row.get("status") or "").lower() == "error"


def _shown(span: Span) -> dict[str, Any]:
    row = span.row
    return {
        **{name: row.get(name) for name in _SHOWN[:6]},
        "start_ns": span.start,
        "duration_ns": span.duration,
        "depth": span.depth,
        "self_ns": span.self_ns,
        "critical_ns": span.critical_ns,
        "orphan": span.is_orphan,
        "attributes": {name: value for name, value in row.items() if value is not None and name not in _SHOWN},
    }
