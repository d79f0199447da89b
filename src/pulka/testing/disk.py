"""A real disk that fails on demand: at the nth call of an operation, when its space is used up, or by short writes."""

import errno
import os
import random  # noqa: TID251 - seeded
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from pulka.journal.disk import Disk

__all__ = ["FaultyDisk"]


class FaultyDisk(Disk):
    """`calls` counts every operation by name. Faults are set with `fail`, `space_bytes` and `short_writes`.

    `before`, when set, is called with the name of every operation that is about to happen.
    """

    def __init__(self, *, space_bytes: int | None = None, short_writes: random.Random | None = None) -> None:
        self.calls: Counter[str] = Counter()
        self.space_bytes = space_bytes
        self.short_writes = short_writes
        self.before: Callable[[str], None] | None = None
        self._faults: dict[tuple[str, int], int] = {}

    def fail(self, operation: str, code: int = errno.EIO, *, nth: int = 1, times: int = 1) -> None:
        """Let the `nth` call of `operation` from now, and the ones after up to `times`, raise OSError(code)."""
        first = self.calls[operation] + nth
        self._faults.update({(operation, call): code for call in range(first, first + times)})

    def heal(self) -> None:
        """From now on nothing fails."""
        self.space_bytes = self.short_writes = None
        self._faults.clear()

    def create(self, path: Path) -> int:
        """See Disk."""
        self._enter("create")
        return super().create(path)

    def open(self, path: Path) -> int:
        """See Disk."""
        self._enter("open")
        return super().open(path)

    def write(self, fd: int, buffers: Sequence[memoryview]) -> int:
        """See Disk. A failing write leaves half of its bytes behind, as real ones may."""
        data = b"".join(buffers)
        try:
            self._enter("write")
        except OSError:
            os.write(fd, data[: len(data) // 2])
            raise
        if self.short_writes is not None and len(data) > 1:
            data = data[: self.short_writes.randrange(1, len(data))]
        return self._write_within_space(fd, data)

    def _write_within_space(self, fd: int, data: bytes) -> int:
        if self.space_bytes is None:
            return os.write(fd, data)
        if not self.space_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(fd, data[: self.space_bytes])
        self.space_bytes -= written
        return written

    def sync(self, fd: int) -> None:
        """See Disk."""
        self._enter("sync")
        super().sync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """See Disk."""
        self._enter("truncate")
        super().truncate(fd, length)

    def rename(self, source: Path, target: Path) -> None:
        """See Disk."""
        self._enter("rename")
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        """See Disk."""
        self._enter("unlink")
        super().unlink(path)

    def sync_directory(self, path: Path) -> None:
        """See Disk."""
        self._enter("sync_directory")
        super().sync_directory(path)

    def _enter(self, operation: str) -> None:
        self.calls[operation] += 1
        if self.before is not None:
            self.before(operation)
        code = self._faults.pop((operation, self.calls[operation]), None)
        if code is not None:
            raise OSError(code, os.strerror(code))
