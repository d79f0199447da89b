"""The file operations of the journal, one method each; `pulka.testing.disk` has one that fails on demand."""

import errno
import os
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

__all__ = ["Disk", "write_all"]

_BUFFERS_MAX = 512
"""POSIX lets a system refuse more than 1024 buffers in one call."""
_datasync = getattr(os, "fdatasync", os.fsync)


class Disk:
    """Blocking calls to the operating system; they raise OSError as it does."""

    def create(self, path: Path) -> int:
        """Open a new empty file for appending, in place of any old one."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)

    def open(self, path: Path) -> int:
        """Open an existing file for appending."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def write(self, fd: int, buffers: Sequence[memoryview]) -> int:
        """Append; may write less than all."""
        return os.writev(fd, buffers)

    def sync(self, fd: int) -> None:
        """Make the file's data durable."""
        _datasync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut the file."""
        os.ftruncate(fd, length)

    def close(self, fd: int) -> None:
        """Close the file."""
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file, in place of any old one."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Delete a file; fine when it is gone already."""
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Make creations, renames and deletions in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_all(disk: Disk, fd: int, buffers: Iterable[bytes]) -> None:
    """Append every byte, however short the single writes are."""
    left = deque(memoryview(buffer) for buffer in buffers)
    while left:
        written = disk.write(fd, list(islice(left, _BUFFERS_MAX)))
        if written == 0:
            raise OSError(errno.EIO, "a write made no progress")
        while left and written >= len(left[0]):
            written -= len(left.popleft())
        if written:
            left[0] = left[0][written:]
