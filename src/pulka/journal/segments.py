"""The segment files of one partition: `<first sequence, 20 digits>.wal`, frames end to end.

The last segment always exists and its name says which sequence comes next at the least: sequences never restart.
A segment ends, too, where the next one begins: a frame with a sequence of the next segment comes from a commit that failed
and could not be cut off; it is void.
"""

import logging
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from pulka._native import journal_decode, journal_resync, journal_scan
from pulka.journal.disk import Disk, write_all
from pulka.seams import Position, Record

__all__ = ["Place", "RecoveryReport", "Segment", "Segments"]

_log = logging.getLogger(__name__)
_FRAME_BYTES_MIN = 48
_READ_BYTES_MAX = 32 << 20


@dataclass(slots=True)
class RecoveryReport:
    """What opening (and reading) found. `corrupt_ranges` are (copy in quarantine, bytes)."""

    records: int = 0
    torn_bytes: int = 0
    void_records: int = 0
    corrupt_ranges: list[tuple[Path, int]] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """For the user, when there is something to say."""
        torn = [f"the journal ended in a torn write of {self.torn_bytes:,} bytes that was never acknowledged; it is cut"]
        kept = [f"{size:,} corrupt bytes of the journal were put aside in {copy}" for copy, size in self.corrupt_ranges]
        return (torn if self.torn_bytes else []) + kept


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies."""

    segment: "Segment"
    sequence: int
    offset: int
    length: int


@dataclass(slots=True, eq=False)
class Segment:
    """One file and the index of its records; 20 bytes of memory per record."""

    path: Path
    first: int
    stored_bytes: int = 0
    _sequences: "array[int]" = field(default_factory=lambda: array("Q"))
    _offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    _lengths: "array[int]" = field(default_factory=lambda: array("I"))

    @property
    def last(self) -> int:
        """Sequence of the last record, or the one before `first`."""
        return self._sequences[-1] if self._sequences else self.first - 1

    @property
    def records(self) -> int:
        """How many records it holds."""
        return len(self._sequences)

    def add(self, sequence: int, offset: int, length: int) -> None:
        """Note a record. The sequence goes in last: a reader in another thread finds the rest by it."""
        self._lengths.append(length)
        self._offsets.append(offset)
        self._sequences.append(sequence)

    def after(self, sequence: int, limit: int) -> list[Place]:
        """Up to `limit` records behind `sequence`."""
        start = bisect_right(self._sequences, sequence)
        stop = min(start + limit, len(self._sequences))
        return [Place(self, self._sequences[at], self._offsets[at], self._lengths[at]) for at in range(start, stop)]

    def drop(self, sequence: int) -> None:
        """Forget one record."""
        at = bisect_right(self._sequences, sequence) - 1
        for column in (self._sequences, self._offsets, self._lengths):
            del column[at]


class Segments:
    """All segments of a partition. Blocking; the caller lets one thread at a time write (append, release)."""

    def __init__(self, directory: Path, partition: int, disk: Disk, segment_bytes: int, rotate_bytes: int, recovered: RecoveryReport) -> None:  # fmt: skip
        self._directory = directory
        self._partition = partition
        self._quarantine = directory.parent / "quarantine"
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._rotate_bytes = rotate_bytes
        self._segments: list[Segment] = []
        self._fd: int | None = None
        self.next_sequence = 1
        self.recovered = recovered

    @property
    def stored_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.stored_bytes for segment in self._segments)

    @property
    def last(self) -> int:
        """Sequence of the last record that can be read; 0 when there is none."""
        return next((segment.last for segment in reversed(self._segments) if segment.records), 0)

    # Opening

    def open(self) -> None:
        """Scan every segment, cut a torn tail, quarantine damage, and be ready to append."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._disk.sync_directory(self._directory.parent)
        paths = sorted(path for path in self._directory.glob("*.wal") if path.stem.isdecimal())
        firsts = [int(path.stem) for path in paths]
        damaged = 0
        for path, ceiling in zip_longest(paths, firsts[1:]):
            damaged = self._recover(path, ceiling)
        self.recovered.records += sum(segment.records for segment in self._segments)
        if not self._segments:
            self._rotate()
            return
        # Damage at the very end may have held acknowledged records: their sequences are not given away again.
        self.next_sequence = self._segments[-1].last + 1 + damaged // _FRAME_BYTES_MIN
        if damaged:
            self._rotate()
        else:
            self._reopen(self._segments[-1])

    def _recover(self, path: Path, ceiling: int | None) -> int:
        """Index one segment; returns the bytes of damage at its end."""
        data = path.read_bytes()
        segment = Segment(path, int(path.stem), len(data))
        self._segments.append(segment)
        offset = 0
        while True:
            entries, end, reason = journal_scan(data, offset)
            for entry in entries:
                self._accept(segment, entry, ceiling)
            if not reason:
                return 0
            if reason == "torn" and ceiling is None:
                self._report_torn(segment, end)
                return 0
            offset = journal_resync(data, end)
            self._set_aside(path, end, data[end:offset])
            if offset == len(data):
                return offset - end

    def _accept(self, segment: Segment, entry: tuple[int, int, int], ceiling: int | None) -> None:
        if segment.last < entry[0] and (ceiling is None or entry[0] < ceiling):
            segment.add(*entry)
            return
        self.recovered.void_records += 1
        _log.warning("%s: the record at byte %d was never acknowledged; it is left out", segment.path, entry[1])

    def _report_torn(self, segment: Segment, end: int) -> None:
        torn = segment.stored_bytes - end
        segment.stored_bytes = end
        self.recovered.torn_bytes += torn
        _log.warning("%s: cut %d bytes of a write that never finished", segment.path, torn)

    def _set_aside(self, path: Path, offset: int, damaged: bytes) -> None:
        """Copy damage to the quarantine, under a name that is the same each time it is found."""
        copy = self._quarantine / f"{path.parent.name}-{path.stem}-{offset}-{len(damaged)}.bin"
        self.recovered.corrupt_ranges.append((copy, len(damaged)))
        _log.error(
            "%s: %d bytes at %d are corrupt; the records in them are lost. A copy is in %s: look at the disk, "
            "and send the data again if its source still has it", path, len(damaged), offset, copy,
        )  # fmt: skip
        try:
            self._quarantine.mkdir(exist_ok=True)
            copy.write_bytes(damaged)
        except OSError as error:
            _log.error("%s cannot be written: %s", copy, error.strerror)

    def _reopen(self, segment: Segment) -> None:
        self._fd = self._disk.open(segment.path)
        self._disk.truncate(self._fd, segment.stored_bytes)
        # Frames a killed process wrote but did not sync are about to be served: they must not vanish later.
        self._disk.sync(self._fd)

    # Writing

    def append(self, frames: Sequence[bytes]) -> None:
        """Write frames, the first of which has `next_sequence`; all are durable, or OSError and none is there."""
        segment = self._active(sum(map(len, frames)))
        assert self._fd is not None
        try:
            write_all(self._disk, self._fd, frames)
        except OSError:
            self._cut(segment)
            raise
        try:
            self._disk.sync(self._fd)
        except OSError:
            self._abandon(segment)
            raise
        for frame in frames:
            segment.add(self.next_sequence, segment.stored_bytes, len(frame))
            segment.stored_bytes += len(frame)
            self.next_sequence += 1

    def _active(self, growth: int) -> Segment:
        segment = self._segments[-1] if self._segments else None
        full = segment is not None and segment.records and segment.stored_bytes + growth > self._segment_bytes
        if segment is None or self._fd is None or full:
            return self._rotate()
        return segment

    def _rotate(self) -> Segment:
        """Begin a new segment. It takes its name by a rename, so that at every moment some file says the next sequence."""
        path = self._directory / f"{self.next_sequence:020d}.wal"
        new = path.with_suffix(".new")
        fd = self._disk.create(new)
        try:
            self._disk.rename(new, path)
            self._disk.sync_directory(self._directory)
        except OSError:
            self._disk.close(fd)
            raise
        self._close()
        self._fd = fd
        if self._segments and self._segments[-1].path == path:
            self._segments.pop()
        self._segments.append(Segment(path, self.next_sequence))
        return self._segments[-1]

    def _cut(self, segment: Segment) -> None:
        assert self._fd is not None
        try:
            self._disk.truncate(self._fd, segment.stored_bytes)
        except OSError:
            self._abandon(segment)

    def _abandon(self, segment: Segment) -> None:
        """Leave a segment whose end is in doubt. After a failed sync the kernel forgets which pages it could not write, so
        another sync of this file would prove nothing; the next segment's name voids whatever stayed behind."""
        self._close()
        with suppress(OSError):
            self._check(segment)
        with suppress(OSError):  # the next append tries again
            self._rotate()

    def _check(self, segment: Segment) -> None:
        """Compare the file with the index, so that a loss of older records is known now and not at the next start."""
        entries, _, _ = journal_scan(segment.path.read_bytes())
        known = [(place.sequence, place.offset, place.length) for place in segment.after(0, segment.records)]
        if entries[: len(known)] != known:
            _log.error("%s: records are missing after a failed write; look at the disk", segment.path)

    # Reading

    def places(self, after: int, limit: int) -> list[Place]:
        """Up to `limit` records behind `after`, and not many more bytes than a reader should hold at once."""
        found: list[Place] = []
        for segment in self._segments:
            if segment.last > after and len(found) < limit:
                found += segment.after(after, limit - len(found))
        return _first_bytes(found, _READ_BYTES_MAX)

    def load(self, places: Sequence[Place]) -> tuple[list[Record], list[Place]]:
        """Read and decode; beside the records, the places that no longer hold what was written (set aside)."""
        records: list[Record] = []
        damaged: list[Place] = []
        for place in places:
            frame = _read(place)
            if frame is None:
                continue
            try:
                records.append(_decode(self._partition, place, frame))
            except ValueError:
                self._set_aside(place.segment.path, place.offset, frame)
                damaged.append(place)
        return records, damaged

    # Forgetting

    def releasable(self, upto: int) -> bool:
        """Whether `release` would free anything."""
        first = self._segments[0]
        return first.last <= upto and (len(self._segments) > 1 or first.stored_bytes > self._rotate_bytes)

    def release(self, upto: int) -> None:
        """Delete the segments whose records are all released; the last one only after another took its place."""
        self._delete(upto)
        last = self._segments[-1]
        if last.last <= upto and last.stored_bytes > self._rotate_bytes:
            self._rotate()
            self._delete(upto)

    def _delete(self, upto: int) -> None:
        deleted = False
        while len(self._segments) > 1 and self._segments[0].last <= upto:
            self._disk.unlink(self._segments[0].path)
            del self._segments[0]
            deleted = True
        if deleted:
            self._disk.sync_directory(self._directory)

    def close(self) -> None:
        """Close the active file."""
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):
                self._disk.close(fd)


def _first_bytes(places: list[Place], bytes_max: int) -> list[Place]:
    total = 0
    for count, place in enumerate(places):
        total += place.length
        if total > bytes_max:
            return places[: max(count, 1)]
    return places


def _read(place: Place) -> bytes | None:
    """The frame's bytes; None when the segment was released meanwhile."""
    try:
        with place.segment.path.open("rb", buffering=0) as file:
            file.seek(place.offset)
            return file.read(place.length)
    except FileNotFoundError:
        return None


def _decode(partition: int, place: Place, frame: bytes) -> Record:
    sequence, tenant, table, arrival_ns, batch, dedup_key, ack = journal_decode(frame)
    if sequence != place.sequence:
        raise ValueError("another record is in this place")
    return Record(Position(partition, sequence), tenant, table, batch, dedup_key, arrival_ns, ack)
