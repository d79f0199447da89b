"""One object to one local file: several ranges at once, because one connection to an object store fills no network card."""

import asyncio
from pathlib import Path

from obstore.store import ObjectStore

from pulka.errors import Corrupt
from pulka.store.outages import translated

__all__ = ["PART_BYTES", "Downloads"]

PART_BYTES = 4 << 20


class Downloads:
    """Downloads that together hold at most `parts_at_once` parts of `PART_BYTES` in memory."""

    def __init__(self, store: ObjectStore, parts_at_once: int = 8) -> None:
        self._store = store
        self._slots = asyncio.Semaphore(parts_at_once)

    async def to_file(self, key: str, size: int, path: Path) -> None:
        """Fetch an object of `size` bytes to a file, instead of what it held.

        FileNotFoundError when there is no such object, Corrupt when it has another size, OSError when the disk is full.
        """
        _empty(path)
        try:
            async with asyncio.TaskGroup() as parts:
                for start in range(0, size, PART_BYTES):
                    parts.create_task(self._part(key, size, start, path))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _part(self, key: str, size: int, start: int, path: Path) -> None:
        end = min(start + PART_BYTES, size)
        async with self._slots:
            with translated():
                answer = await self._store.get_async(key, options={"range": (start, end)})
                data = await answer.buffer_async()
            if answer.meta["size"] != size or len(data) != end - start:
                raise Corrupt(f"{key} has {answer.meta['size']} bytes in the store, not {size}", hint="`pulka store check` lists what is damaged")
            await asyncio.to_thread(_write_at, path, start, data)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _write_at(path: Path, offset: int, data: object) -> None:
    """Opens the file for itself: a cancelled task leaves its thread behind, which must not write to a descriptor that is someone else's by then."""
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        file.write(memoryview(data))  # type: ignore[arg-type]
