"""A selection: which events of a table, by a condition in SQL and a time window."""

from dataclasses import dataclass, field

from pulka.model.moments import rfc3339
from pulka.model.windows import TimeRange

__all__ = ["Selection", "instant"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Events within a window of which a condition is true."""

    where: str = "TRUE"
    window: TimeRange = field(default_factory=TimeRange)

    def sql(self) -> str:
        """The whole as one condition."""
        parts = [] if self.where == "TRUE" else [f"({self.where}\n)"]
        if self.window.start_ns is not None:
            parts.append(f"timestamp >= {instant(self.window.start_ns)}")
        if self.window.end_ns is not None:
            parts.append(f"timestamp < {instant(self.window.end_ns)}")
        return " AND ".join(parts) or "TRUE"

    def others(self, window: TimeRange) -> "Selection":
        """All other events of a window."""
        return Selection(f"({self.sql()}) IS NOT TRUE", window)


def instant(nanoseconds: int) -> str:
    """A moment as a literal of SQL."""
    return f"TIMESTAMP '{rfc3339(nanoseconds)}'"
