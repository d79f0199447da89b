"""What is to be sent, on disk: one file per request, oldest first, within a budget of bytes.

A file is complete when it has its name (written under another one, synced, renamed), so a crash at any instant leaves whole requests.
When the budget is full the oldest go, and are counted: recent data is worth more than old.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Spool", "Spooled"]

_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Spooled:
    """One request that waits: its signal and where its body is."""

    path: Path
    signal: str

    def body(self) -> bytes:
        """The body, as it was put."""
        return self.path.read_bytes()


class Spool:
    """A directory of requests. One process at a time."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        """Takes up what an earlier process left; incomplete files are removed."""
        self._directory, self._bytes_max = directory, bytes_max
        self.dropped = 0
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in directory.glob(f"*{_PARTIAL}"):
            path.unlink(missing_ok=True)
        self._sizes = {path: path.stat().st_size for path in sorted(directory.glob("*.*"))}
        self._next = max((int(path.name.partition(".")[0]) for path in self._sizes), default=0) + 1

    @property
    def held_bytes(self) -> int:
        """Bytes that wait."""
        return sum(self._sizes.values())

    def put(self, signal: str, body: bytes) -> None:
        """Add a request behind all others. OSError when the disk refuses."""
        path = self._directory / f"{self._next:012d}.{signal}"
        partial = path.with_name(path.name + _PARTIAL)
        with partial.open("wb") as file:
            file.write(body)
            file.flush()
            os.fdatasync(file.fileno())
        partial.rename(path)
        self._next += 1
        self._sizes[path] = len(body)
        self._shrink()

    def oldest(self) -> Spooled | None:
        """The request to send next."""
        return next(self._waiting(), None)

    def done(self, spooled: Spooled) -> None:
        """A request was sent, or never will be."""
        spooled.path.unlink(missing_ok=True)
        self._sizes.pop(spooled.path, None)

    def __len__(self) -> int:
        return len(self._sizes)

    def _waiting(self) -> Iterator[Spooled]:
        return (Spooled(path, path.name.partition(".")[2]) for path in self._sizes)

    def _shrink(self) -> None:
        excess = self.held_bytes - self._bytes_max
        for spooled in list(self._waiting())[:-1]:
            if excess <= 0:
                return
            excess -= self._sizes[spooled.path]
            self.dropped += 1
            self.done(spooled)
