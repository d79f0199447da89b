"""A disk that a power cut takes back to what was synced.

The model is POSIX at its least: `sync` makes the bytes of a file durable, `sync_directory` the names in a directory. What
was not synced may be there, not, or in part, each file and name by itself; after a failed sync the kernel has forgotten
which pages it could not write, and a later sync of the file proves nothing (P. Rebello et al., "Can Applications Recover
from fsync Failures?", USENIX ATC 2020).
"""

import os
import random  # noqa: TID251 - seeded
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulka.testing.disk import FaultyDisk

__all__ = ["VolatileDisk", "restore"]


@dataclass(slots=True, eq=False)
class _File:
    """The bytes a reader sees, and those that are sure."""

    content: bytearray
    synced: bytes = b""
    doubtful: bool = False


class VolatileDisk(FaultyDisk):
    """A faulty disk over a directory. Nothing is really synced, so it is quick.

    Present files are durable, unless another process wrote them with the disk `before` and the power stayed on since.
    """

    def __init__(self, directory: Path, *, before: "VolatileDisk | None" = None) -> None:
        super().__init__()
        self._seen: dict[Path, _File] = dict(before._seen) if before else {path: _durable(path) for path in sorted(directory.rglob("*.wal"))}
        self._sure: dict[Path, _File] = dict(before._sure if before else self._seen)
        self._opened: dict[int, _File] = {}

    def create(self, path: Path) -> int:
        """See Disk."""
        fd = super().create(path)
        self._opened[fd] = self._seen[path] = _File(bytearray())
        return fd

    def open(self, path: Path) -> int:
        """See Disk."""
        fd = super().open(path)
        self._opened[fd] = self._seen[path]
        return fd

    def write(self, fd: int, buffers: Sequence[memoryview]) -> int:
        """See Disk."""
        start = os.fstat(fd).st_size
        try:
            return super().write(fd, buffers)
        finally:
            end = os.fstat(fd).st_size
            self._opened[fd].content += b"".join(buffers)[: end - start]

    def sync(self, fd: int) -> None:
        """See Disk."""
        file = self._opened[fd]
        try:
            self._enter("sync")
        except OSError:
            file.doubtful = True
            raise
        if not file.doubtful:
            file.synced = bytes(file.content)

    def truncate(self, fd: int, length: int) -> None:
        """See Disk."""
        super().truncate(fd, length)
        del self._opened[fd].content[length:]

    def close(self, fd: int) -> None:
        """See Disk."""
        super().close(fd)
        self._opened.pop(fd, None)

    def rename(self, source: Path, target: Path) -> None:
        """See Disk."""
        super().rename(source, target)
        self._seen[target] = self._seen.pop(source)

    def unlink(self, path: Path) -> None:
        """See Disk."""
        super().unlink(path)
        self._seen.pop(path, None)

    def sync_directory(self, path: Path) -> None:
        """See Disk."""
        self._enter("sync_directory")
        kept = {name: file for name, file in self._sure.items() if name.parent != path}
        self._sure = kept | {name: file for name, file in self._seen.items() if name.parent == path}

    def after_power_cut(self, chance: random.Random) -> dict[Path, bytes]:
        """One of the states that the directory may be in after the power went now."""
        left: dict[Path, bytes] = {}
        for path in sorted(self._seen.keys() | self._sure.keys()):
            sure, seen = self._sure.get(path), self._seen.get(path)
            file = sure if sure is seen else chance.choice((sure, seen))
            if file is not None:
                left[path] = _content(file, chance)
        return left


def restore(directory: Path, files: dict[Path, bytes]) -> None:
    """Put the segment files of a directory into a state of `VolatileDisk.after_power_cut`."""
    for path in directory.rglob("*"):
        if path.suffix in (".wal", ".new"):
            path.unlink()
    for path, content in files.items():
        path.write_bytes(content)


def _durable(path: Path) -> _File:
    content = path.read_bytes()
    return _File(bytearray(content), content)


def _content(file: _File, chance: random.Random) -> bytes:
    now = bytes(file.content)
    if now == file.synced or not now.startswith(file.synced):
        return chance.choice((file.synced, now))
    unsure = now[len(file.synced) :]
    written = chance.randrange(len(unsure) + 1)
    zeros = chance.random() < 0.3  # the size reached the disk before the pages did
    return file.synced + unsure[:written] + (bytes(len(unsure) - written) if zeros else b"")
