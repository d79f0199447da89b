"""An object store on a directory that fails as real ones do, in obstore's vocabulary as far as Pulka speaks it."""

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from obstore.exceptions import AlreadyExistsError, GenericError

from pulka.seams import Clock
from pulka.testing.faults import Faults

__all__ = ["Bucket", "FaultyStore"]

_CHUNK_BYTES = 1 << 16
_LATE_S = 20.0


class Bucket:
    """Objects that outlive every process; `path` is where one lies as a plain file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._modified_ns: dict[str, int] = {}

    def path(self, key: str) -> Path:
        """The file of an object."""
        return self._directory / key

    def all_keys(self) -> list[str]:
        """All objects, sorted."""
        return sorted(self._modified_ns)

    def write(self, key: str, data: bytes, now_ns: int) -> None:
        """Create or replace an object."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._modified_ns[key] = now_ns

    def delete(self, key: str) -> None:
        """Remove an object; FileNotFoundError when there is none."""
        self.path(key).unlink()
        del self._modified_ns[key]

    def digest(self, key: str) -> str | None:
        """What identifies the object's bytes; None when it is missing."""
        path = self.path(key)
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() if path.exists() else None

    def meta(self, key: str) -> dict[str, Any]:
        """As obstore's ObjectMeta."""
        size = self.path(key).stat().st_size
        modified = datetime.fromtimestamp(self._modified_ns[key] / 1e9, UTC)
        return {"path": key, "size": size, "last_modified": modified, "e_tag": None, "version": None}


class FaultyStore:
    """One process's way to a bucket: `put`, `get`, `head`, `delete` and `list`, each with the faults of its name.

    Besides those of `Faults.around`: `put.torn` leaves a part of the object and fails, `put.short` leaves a part and says
    that all is well, `put.late` delivers the object a second time some while later, `get.torn` ends in the middle.
    `wrote` is called with every key that was written.
    """

    def __init__(self, bucket: Bucket, clock: Clock, faults: Faults, later: Callable[..., object], wrote: Callable[[str], None] | None = None) -> None:
        self._bucket = bucket
        self._clock = clock
        self._faults = faults
        self._later = later
        self._wrote = wrote or (lambda key: None)

    async def put_async(self, key: str, file: Path | bytes, *, mode: str = "overwrite", **_: Any) -> dict[str, Any]:
        """Store a file or bytes; with mode `create` never over an object that is there."""
        if mode == "create" and self._bucket.path(key).exists():
            raise AlreadyExistsError(f"{key} is there already")
        return await self._faults.around("put", lambda: self._put(key, _content(file)))

    async def _put(self, key: str, data: bytes) -> dict[str, Any]:
        if self._faults.strikes("put.torn"):
            self._write(key, data[: self._faults.part(len(data))])
            raise GenericError("no space left, as the test wants")
        short = self._faults.strikes("put.short")
        self._write(key, data[: self._faults.part(len(data))] if short else data)
        if self._faults.strikes("put.late"):
            self._later(self._faults.later_s(_LATE_S), self._write, key, data)
        return {"e_tag": None, "version": None}

    def _write(self, key: str, data: bytes) -> None:
        self._bucket.write(key, data, self._clock.now_ns())
        self._wrote(key)

    async def head_async(self, key: str) -> dict[str, Any]:
        """Size and age of an object."""
        return await self._faults.around("head", lambda: self._known(key))

    async def _known(self, key: str) -> dict[str, Any]:
        if not self._bucket.path(key).exists():
            raise FileNotFoundError(key)
        return self._bucket.meta(key)

    async def get_async(self, key: str, *, options: dict[str, Any] | None = None, **_: Any) -> "_Response":
        """An object, or a range of it."""
        meta = await self._faults.around("get", lambda: self._known(key))
        data = self._bucket.path(key).read_bytes()
        return _Response(data[_slice((options or {}).get("range"), len(data))], meta, self._faults)

    async def delete_async(self, key: str) -> None:
        """Delete an object."""
        await self._faults.around("delete", lambda: self._delete(key))

    async def _delete(self, key: str) -> None:
        if not self._bucket.path(key).exists():
            raise FileNotFoundError(key)
        self._bucket.delete(key)

    async def list_async(self, prefix: str | None = None, *, chunk_size: int = 10) -> AsyncIterator[list[dict[str, Any]]]:
        """All objects, in pages."""
        keys = [key for key in self._bucket.all_keys() if key.startswith(prefix or "")]
        for start in range(0, len(keys), chunk_size):
            await self._faults.pause("list")
            present = [key for key in keys[start : start + chunk_size] if self._bucket.path(key).exists()]
            yield [self._bucket.meta(key) for key in present]


def _content(file: Path | bytes) -> bytes:
    return file.read_bytes() if isinstance(file, Path) else bytes(file)


def _slice(wanted: Any, size: int) -> slice:
    """obstore's ranges: (start, end), or the last so many bytes."""
    if wanted is None:
        return slice(0, size)
    return slice(max(0, size - wanted["suffix"]), size) if isinstance(wanted, dict) else slice(*wanted)


class _Response:
    """What `get_async` answers."""

    def __init__(self, data: bytes, meta: dict[str, Any], faults: Faults) -> None:
        self.meta = meta
        self._data = data
        self._faults = faults

    async def buffer_async(self) -> bytes:
        """All of it."""
        return b"".join([chunk async for chunk in self.stream()])

    async def stream(self) -> AsyncIterator[bytes]:
        """The object in chunks."""
        torn = self._faults.strikes("get.torn")
        data = self._data[: self._faults.part(len(self._data))] if torn else self._data
        for start in range(0, len(data), _CHUNK_BYTES):
            yield data[start : start + _CHUNK_BYTES]
        if torn:
            raise GenericError("the connection broke, as the test wants")
