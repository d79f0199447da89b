"""One partition on disk: segment files named by their first sequence, append-only, cut and scanned at start.

All calls block; `wal.py` runs them in a thread.
"""

import contextlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from pulka import _native

__all__ = ["DiskRefused", "Place", "Recovery", "Segments"]

_log = logging.getLogger(__name__)
_SUFFIX = ".wal"


class DiskRefused(Exception):
    """The disk took nothing of this write; the segment is as before."""


@dataclass(slots=True)
class Recovery:
    """What opening found: records that are there, bytes of a torn tail that were cut, corrupt ranges put aside."""

    records: int = 0
    torn_bytes: int = 0
    corrupt: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """For the user, when there is something to say."""
        cut = [f"the journal ended in a torn write of {self.torn_bytes:,} bytes, which was never acknowledged; it is cut"] if self.torn_bytes else []
        return cut + self.corrupt


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is."""

    segment: Path
    offset: int
    length: int


@dataclass(slots=True)
class _Segment:
    path: Path
    first: int
    last: int
    size: int


class Segments:
    """The segment files of one partition. `places` maps each sequence that is not released to its place."""

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        self.directory = directory
        self.places: dict[int, Place] = {}
        self.last = 0
        self.bytes = 0
        self._segment_bytes = segment_bytes
        self._segments: list[_Segment] = []
        self._fd: int | None = None

    def open(self, recovery: Recovery) -> None:
        """Scan what is there; the last sequence ever given is known also when all records are released."""
        self.directory.mkdir(parents=True, exist_ok=True)
        paths = sorted(self.directory.glob("*" + _SUFFIX))
        for path in paths:
            self._scan(path, recovery, is_last=path == paths[-1])
        self.bytes = sum(segment.size for segment in self._segments)
        recovery.records += len(self.places)

    def _scan(self, path: Path, recovery: Recovery, is_last: bool) -> None:
        data = path.read_bytes()
        frames, corrupt, good_end = _native.journal_scan(data)
        first = int(path.stem)
        for start, end in corrupt:
            self._put_aside(path, data, start, end, recovery)
        if good_end < len(data):
            if is_last:
                recovery.torn_bytes += len(data) - good_end
                _cut(path, good_end)
            else:
                self._put_aside(path, data, good_end, len(data), recovery)
        for sequence, offset, length in frames:
            self.places[sequence] = Place(path, offset, length)
        last = max((sequence for sequence, _, _ in frames), default=first - 1)
        self.last = max(self.last, last)
        self._segments.append(_Segment(path, first, last, good_end if is_last else len(data)))

    def _put_aside(self, path: Path, data: bytes, start: int, end: int, recovery: Recovery) -> None:
        """A corrupt range is never skipped silently: its bytes are kept and its place is named."""
        quarantine = self.directory / "quarantine"
        quarantine.mkdir(exist_ok=True)
        (quarantine / f"{path.stem}-{start}-{end}").write_bytes(data[start:end])
        sentence = f"{path} is corrupt from byte {start} to {end}; these bytes are kept in {quarantine}"
        recovery.corrupt.append(sentence)
        _log.error(sentence)

    def append(self, first: int, frames: list[bytes]) -> None:
        """Write frames with sequences from `first` on and make them durable; DiskRefused when nothing was kept."""
        size = sum(map(len, frames))
        try:
            segment = self._active(first, size)
        except OSError as error:
            raise DiskRefused(str(error)) from error
        assert self._fd is not None
        try:
            _write_all(self._fd, frames)
            os.fdatasync(self._fd)
        except OSError as error:
            self._abandon(segment)
            raise DiskRefused(str(error)) from error
        self._remember(segment, first, frames)

    def _active(self, first: int, size: int) -> _Segment:
        """The segment to write to, a new one when the last is full or was abandoned."""
        if self._fd is not None and self._segments[-1].size + size <= self._segment_bytes:
            return self._segments[-1]
        self._close_fd()
        path = self.directory / f"{first:020d}{_SUFFIX}"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o640)
        _sync_directory(self.directory)
        if not self._segments or self._segments[-1].path != path:
            self._segments.append(_Segment(path, first, first - 1, 0))
        return self._segments[-1]

    def _abandon(self, segment: _Segment) -> None:
        """After a failed write or fsync the descriptor is not trusted again: cut what may be there, go on in a new file.

        A kernel may drop dirty pages after a failed fsync and report the next one as good; hence never a second try.
        """
        self._close_fd()
        with contextlib.suppress(OSError):
            _cut(segment.path, segment.size)
        if segment.last < segment.first:
            with contextlib.suppress(OSError):
                segment.path.unlink()
            self._segments.remove(segment)

    def _remember(self, segment: _Segment, first: int, frames: list[bytes]) -> None:
        for number, frame in enumerate(frames):
            self.places[first + number] = Place(segment.path, segment.size, len(frame))
            segment.size += len(frame)
            self.bytes += len(frame)
        segment.last = self.last = first + len(frames) - 1

    def release(self, upto: int) -> None:
        """Delete segments whose records are all released. The newest stays: its name keeps the sequence going."""
        gone = [segment for segment in self._segments[:-1] if segment.last <= upto]
        for segment in gone:
            segment.path.unlink(missing_ok=True)
            self.bytes -= segment.size
        self._segments = [segment for segment in self._segments if segment not in gone]
        if gone:
            first_kept = self._segments[0].first
            self.places = {sequence: place for sequence, place in self.places.items() if sequence >= first_kept}
        if self._segments and 0 < self._segments[-1].last <= upto and self._segments[-1].size >= self._segment_bytes // 8:
            self._restart()

    def _restart(self) -> None:
        """Everything is released: begin an empty segment, so that the old one can go and its space is free."""
        old = self._segments[-1]
        self._close_fd()
        path = self.directory / f"{self.last + 1:020d}{_SUFFIX}"
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            _sync_directory(self.directory)
        except OSError:
            return  # no space for a name; the old segment keeps the sequence
        self._segments.append(_Segment(path, self.last + 1, self.last, 0))
        self._segments.remove(old)
        old.path.unlink(missing_ok=True)
        self.bytes -= old.size
        self.places = {sequence: place for sequence, place in self.places.items() if place.segment != old.path}

    def read(self, place: Place) -> bytes:
        """The bytes of one frame."""
        with place.segment.open("rb") as file:
            file.seek(place.offset)
            return file.read(place.length)

    def close(self) -> None:
        """Close the active file."""
        self._close_fd()

    def _close_fd(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
        self._fd = None


def _write_all(fd: int, frames: list[bytes]) -> None:
    """writev with short writes handled; at most 512 pieces a call (the kernel's limit is 1024)."""
    pending = [memoryview(frame) for frame in frames]
    while pending:
        written = os.writev(fd, pending[:512])
        while pending and written >= len(pending[0]):
            written -= len(pending.pop(0))
        if written:
            pending[0] = pending[0][written:]


def _cut(path: Path, size: int) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
