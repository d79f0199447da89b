"""The fragment cache: local copies of objects in a remote store, for queries and merges to read.

A lease pins the copies it names, fetches those that are missing (each once, however many wait for it) and lets go of them
at its end. What nobody reads goes when room is needed, least recently used first. Fragments never change, so a copy is
whole or it is not; one that turns out unreadable is fetched again. The room of a lease is taken for all of its fragments
at once: a lease that waits for room holds none, so no two wait for each other.
"""

import asyncio
import errno
import itertools
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulka.errors import LimitExceeded, Misconfigured, Temporary
from pulka.seams import Fragment, Lease
from pulka.store.download import Downloads

__all__ = ["CacheCounts", "FragmentCache"]

_MAGIC = b"PAR1"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True)
class CacheCounts:
    """Counters since the start, of fragments unless named otherwise."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    fetched_bytes: int = 0


@dataclass(slots=True)
class _Copy:
    """A copy, `ready` to be read or not yet: from before a restart, or `arriving`."""

    bytes: int
    ready: bool = False
    doubted: bool = False
    pins: int = 0
    arriving: "asyncio.Task[None] | None" = None


class FragmentCache:
    """`pulka.seams.FragmentFiles` over a directory of at most `bytes_max`. Not for threads: it belongs to one event loop."""

    def __init__(self, directory: Path, bytes_max: int, downloads: Downloads) -> None:
        self.counts = CacheCounts()
        self.bytes = 0
        """Of all copies, those on their way included."""
        self.pinned_bytes = 0
        """Of the copies that are being read."""
        self._directory, self._bytes_max, self._downloads = directory, bytes_max, downloads
        self._copies: dict[str, _Copy] = {}  # least recently used first
        self._released = asyncio.Event()
        self._attempts = itertools.count()

    def prepare(self) -> None:
        """Take over what an earlier process left, in the order of its last use. Blocks; call once, before anything else."""
        self._directory.mkdir(parents=True, exist_ok=True)
        found = [(path, path.stat()) for path in self._directory.iterdir()]
        for path, stat in sorted(found, key=lambda item: item[1].st_mtime_ns):
            if path.suffix == ".parquet":
                self._add(path.stem, _Copy(stat.st_size))
            else:
                path.unlink()
        self._make_room(0)

    async def lease(self, fragments: Sequence[Fragment]) -> Lease:
        """See `pulka.seams.FragmentFiles`. Waits while others read what would have to go."""
        wanted = {fragment.id: fragment for fragment in fragments}
        await self._pin(wanted)
        try:
            missing = [fragment for fragment in wanted.values() if not self._is_ready(fragment.id)]
            await asyncio.gather(*(self._arrived(fragment) for fragment in missing))
        except BaseException:
            self._unpin(wanted, doubt=False)
            raise
        return Lease({key: self._path(key) for key in wanted}, lambda doubt: self._unpin(wanted, doubt))

    def keep(self, fragment: Fragment, path: Path) -> None:
        """Take over the file of a fragment that was just stored; it stays where it is when there is no room for it."""
        if fragment.id in self._copies or not self._fits(fragment.bytes):
            return
        self._make_room(fragment.bytes)
        try:
            path.rename(self._path(fragment.id))
        except OSError:
            return  # a directory on another disk, or lost: the first reader fetches it
        self._add(fragment.id, _Copy(fragment.bytes, ready=True))

    def drop(self, fragment_id: str) -> None:
        """Forget a fragment whose object is gone; who reads its copy goes on reading it."""
        copy = self._copies.get(fragment_id)
        if copy is not None and copy.pins:
            copy.doubted = True
        elif copy is not None:
            self._remove(fragment_id)

    async def close(self) -> None:
        """Abandon downloads in flight."""
        tasks = [copy.arriving for copy in self._copies.values() if copy.arriving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Room

    async def _pin(self, wanted: Mapping[str, Fragment]) -> None:
        total = sum(fragment.bytes for fragment in wanted.values())
        if total > self._bytes_max:
            raise LimitExceeded(
                f"this reads {_mib(total)} MiB of fragments, and the cache of the object store holds {_mib(self._bytes_max)} MiB",
                hint="narrow the time window, or raise cache_bytes_max",
            )
        while not self._fits(self._unpinned_bytes(wanted)):
            self._released.clear()
            await self._released.wait()
        for fragment in wanted.values():
            self._use(fragment)
        self._make_room(0)

    def _unpinned_bytes(self, wanted: Mapping[str, Fragment]) -> int:
        return sum(f.bytes for key, f in wanted.items() if key not in self._copies or not self._copies[key].pins)

    def _fits(self, more_bytes: int) -> bool:
        return self.pinned_bytes + more_bytes <= self._bytes_max

    def _use(self, fragment: Fragment) -> None:
        """Pin a copy, as the most recently used one."""
        copy = self._copies.get(fragment.id)
        if copy is not None and copy.bytes != fragment.bytes and not copy.pins:
            self._remove(fragment.id)  # cut short by a crash
            copy = None
        if copy is None:
            copy = self._add(fragment.id, _Copy(fragment.bytes))
        self._copies[fragment.id] = self._copies.pop(fragment.id)
        self.pinned_bytes += 0 if copy.pins else copy.bytes
        copy.pins += 1

    def _unpin(self, keys: Collection[str], doubt: bool) -> None:
        for key in keys:
            copy = self._copies[key]
            copy.pins -= 1
            copy.doubted |= doubt
            self.pinned_bytes -= 0 if copy.pins else copy.bytes
            if not copy.pins and (copy.doubted or not copy.ready):
                self._remove(key)
        self._released.set()

    def _add(self, key: str, copy: _Copy) -> _Copy:
        self._copies[key] = copy
        self.bytes += copy.bytes
        return copy

    def _remove(self, key: str) -> None:
        copy = self._copies.pop(key)
        self.bytes -= copy.bytes
        if copy.arriving is not None:
            copy.arriving.cancel()
        self._path(key).unlink(missing_ok=True)

    def _make_room(self, more_bytes: int) -> None:
        self._evict(self.bytes + more_bytes - self._bytes_max)

    def _evict(self, wanted_bytes: int) -> bool:
        """Remove what nobody reads, the least recently used first, until `wanted_bytes` are gained; whether anything was."""
        before, idle = self.bytes, [key for key, copy in self._copies.items() if not copy.pins]
        for key in idle:
            if before - self.bytes >= wanted_bytes:
                break
            self._remove(key)
            self.counts.evictions += 1
        return self.bytes < before

    # Copies

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.parquet"

    def _is_ready(self, key: str) -> bool:
        """Whether a copy can be read at once; its file then carries the time of this use to the next process."""
        copy = self._copies[key]
        if copy.ready:
            try:
                os.utime(self._path(key))
            except OSError:  # somebody emptied the directory
                copy.ready = False
        self.counts.hits += copy.ready
        return copy.ready

    async def _arrived(self, fragment: Fragment) -> None:
        """Wait for a copy; whoever comes first makes it. One waiter that gives up does not take it from the others."""
        copy = self._copies[fragment.id]
        if copy.arriving is None:
            copy.arriving = asyncio.create_task(self._arrive(fragment, copy))
        await asyncio.shield(copy.arriving)

    async def _arrive(self, fragment: Fragment, copy: _Copy) -> None:
        try:
            if await asyncio.to_thread(_is_whole, self._path(fragment.id), fragment.bytes):
                self.counts.hits += 1
            else:
                await self._fetch(fragment)
            copy.ready = True
        finally:
            copy.arriving = None

    async def _fetch(self, fragment: Fragment) -> None:
        self.counts.misses += 1
        part = self._directory / f"{fragment.id}.{next(self._attempts)}.part"
        try:
            await self._download(fragment, part)
            part.rename(self._path(fragment.id))
            self.counts.fetched_bytes += fragment.bytes
        finally:
            part.unlink(missing_ok=True)

    async def _download(self, fragment: Fragment, part: Path) -> None:
        """A disk that is fuller than `bytes_max` foresees makes the cache smaller; with nothing left to remove it is an error."""
        while True:
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
                return await self._downloads.to_file(fragment.key, fragment.bytes, part)
            except FileNotFoundError:
                raise Temporary(
                    f"a fragment of `{fragment.table}` is not in the object store",
                    hint="ask again: it may have been merged just now; if this stays, `pulka store check` says what is lost",
                ) from None
            except OSError as error:
                if error.errno not in _FULL:
                    raise Misconfigured(f"{self._directory}: {error.strerror}", hint="make it writable") from error
                if not self._evict(fragment.bytes):
                    raise Temporary(
                        f"no room for a fragment in {self._directory}", hint="free disk space there; lower cache_bytes_max to leave some to others"
                    ) from error


def _is_whole(path: Path, size: int) -> bool:
    """Whether a file has its size, and both ends of a Parquet file: what a crash of the machine may leave behind has not."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
            file.seek(-len(_MAGIC), os.SEEK_END)
            return (head, file.read(), file.tell()) == (_MAGIC, _MAGIC, size)
    except OSError:
        return False


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f}"
