"""Time windows: fragments never cross one, retention drops whole ones."""

from dataclasses import dataclass

__all__ = ["HOUR_NS", "TimeRange", "window_start"]

HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Nanoseconds since 1970 UTC, `start` inclusive, `end` exclusive; None is open."""

    start_ns: int | None = None
    end_ns: int | None = None

    def overlaps(self, first_ns: int, last_ns: int) -> bool:
        """Whether events from `first_ns` to `last_ns`, both inclusive, can lie in the range."""
        return (self.end_ns is None or first_ns < self.end_ns) and (self.start_ns is None or last_ns >= self.start_ns)


def window_start(timestamp_ns: int, window_ns: int = HOUR_NS) -> int:
    """Start of the window of `window_ns`, aligned to UTC, that holds `timestamp_ns`."""
    return timestamp_ns - timestamp_ns % window_ns
