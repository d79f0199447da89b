"""Fragments as objects: their keys, what their footer says of them, and how they reach the object store and come back.

The footer repeats what the catalog knows. `FragmentOrigin` is the part that the rows alone do not tell.
"""

import asyncio
import contextlib
import itertools
import os
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore

from pulka import _native
from pulka.errors import Corrupt, Temporary
from pulka.model.fields import Column, FieldType
from pulka.model.tables import Table
from pulka.seams import ColumnStats, Fragment, Lease
from pulka.store.cache import FragmentCache
from pulka.store.download import Downloads
from pulka.store.outages import is_unsupported, translated

__all__ = [
    "FragmentObjects",
    "FragmentOrigin",
    "Part",
    "PositionRange",
    "Share",
    "WriteOptions",
    "coalesce",
    "fragment_of",
    "key_of",
    "read_footer",
]


_STRUCTURED = ("positions", "inputs", "flush", "outputs", "parts")
_ONE_REQUEST_BYTES = 8 << 20
_UPLOAD_PART_BYTES = 5 << 20  # the least that S3 takes
_UPLOAD_PARTS_AT_ONCE = 3
_DELETES_AT_ONCE = 16
_FOOTER_BYTES = 64 << 10


class PositionRange(NamedTuple):
    """Journal records of one partition that a fragment has its rows from: sequences after `start`, up to `end`."""

    partition: int
    start: int
    end: int


class Share(NamedTuple):
    """One of the outputs of a merge that split its rows by sort key; see `pulka.store.lineage`."""

    merge: str
    outputs: int
    number: int


class Part(NamedTuple):
    """What a range of journal records put into one window; with a path, only that share of it."""

    window_start_ns: int
    window_ns: int
    partition: int
    start: int
    end: int
    path: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class FragmentOrigin:
    """Where a fragment comes from.

    `flush` names the windows that its flush wrote: all of them or none are published. `outputs` names the fragments that its
    merge wrote, itself among them, and `parts` what these hold together where that is not `positions` of their window.
    """

    id: str
    tenant: str
    table: str
    window_start_ns: int
    window_ns: int
    level: int
    created_ns: int
    positions: tuple[PositionRange, ...] = ()
    inputs: tuple[str, ...] = ()
    flush: tuple[tuple[int, int], ...] = ()
    outputs: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    def metadata(self) -> dict[str, str]:
        """Footer items, one per field that says something, each JSON or plain text."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {f"pulka.{name}": _text(value) for name, value in values.items() if value != ()}

    @classmethod
    def read(cls, footer: Mapping[str, str]) -> "FragmentOrigin":
        """Inverse of `metadata`; Corrupt when the footer is not a fragment's."""
        items: dict[str, Any] = {
            name: footer[f"pulka.{name}"] for name in cls.__dataclass_fields__ if f"pulka.{name}" in footer
        }
        structured = {name: _json(items[name]) for name in _STRUCTURED if name in items}
        try:
            return msgspec.convert(items | structured, cls, strict=False)
        except msgspec.ValidationError:
            raise Corrupt(
                "a Parquet footer lacks what Pulka writes there", hint="keep other files out of Pulka's prefix"
            ) from None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How fragments are written; see `_native.write_fragment`."""

    row_group_bytes: int = 32 << 20
    zstd_level: int = 3
    columns_max: int = 1000
    dense_share: float = 0.01

    def arguments(self, table: Table) -> dict[str, Any]:
        """Keyword arguments of `write_fragment` and `merge_fragments` for one table."""
        return {
            "declared": table.columns, "sort": table.sort, "bloom": table.bloom,
            "row_group_bytes": self.row_group_bytes, "zstd_level": self.zstd_level,
            "columns_max": self.columns_max, "dense_share": self.dense_share,
        }  # fmt: skip


def key_of(tenant: str, table: str, window_start_ns: int, fragment_id: str) -> str:
    """Object key of a fragment; the window is its start hour in UTC."""
    hour = datetime.fromtimestamp(window_start_ns // 1_000_000_000, UTC)
    return f"{tenant}/{table}/{hour:%Y%m%dT%H}/{fragment_id}.parquet"


def fragment_of(origin: FragmentOrigin, description: str) -> Fragment:
    """A catalog entry from a footer: `description` is what `write_fragment` returned, also kept as `pulka.fragment`."""
    try:
        told = msgspec.json.decode(description)
        columns = tuple(_column_stats(item) for item in told["columns"])
        residual = {path: frozenset(types) for path, types in told.get("residual", {}).items()}
        min_ns, max_ns, rows, size, raw = (
            int(told[name]) for name in ("min_ns", "max_ns", "rows", "bytes", "raw_bytes")
        )
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise Corrupt(f"fragment {origin.id} describes itself in a way this Pulka does not read") from None
    key = key_of(origin.tenant, origin.table, origin.window_start_ns, origin.id)
    return Fragment(
        origin.id, origin.tenant, origin.table, key, origin.window_start_ns, origin.window_ns, min_ns, max_ns, rows, size, raw,
        origin.level, origin.created_ns, columns, residual,
    )  # fmt: skip


def coalesce(ranges: Sequence[PositionRange]) -> tuple[PositionRange, ...]:
    """The same records in the fewest ranges, sorted."""
    merged: list[PositionRange] = []
    for item in sorted(ranges):
        last = merged[-1] if merged else None
        if last and last.partition == item.partition and item.start <= last.end:
            merged[-1] = last._replace(end=max(last.end, item.end))
        else:
            merged.append(item)
    return tuple(merged)


class FragmentObjects:
    """Fragments between a spool directory of local files and the object store; `pulka.seams.FragmentFiles`.

    What a remote store answers wrongly, late or not at all is Temporary or Misconfigured.
    """

    def __init__(self, store: ObjectStore, spool: Path, cache: FragmentCache | None = None) -> None:
        self._store = store
        self._spool = spool
        self._cache = cache
        self._downloads = Downloads(store)
        self._fetched = itertools.count()
        self._if_absent = True
        # The same directory in memory for every key; only a local store has one.
        self._root = Path(store.prefix) if isinstance(store, LocalStore) and store.prefix else None

    def prepare(self) -> None:
        """Make the spool directory and delete what a crash left there. Blocks; call once, before anything is written."""
        self._spool.mkdir(parents=True, exist_ok=True)
        for leftover in self._spool.iterdir():
            leftover.unlink()

    def spool_path(self, fragment_id: str) -> Path:
        """A local file for a fragment that is being written."""
        return self._spool / f"{fragment_id}.parquet"

    async def put(self, fragment: Fragment, path: Path) -> None:
        """Store a spooled fragment; it is durable under its key, with its exact size, when this returns.

        After an error the object may be there all the same (the answer was lost): an orphan, once the caller gives up its id.
        """
        try:
            with translated():
                await self._upload(fragment, path)
                stored = await self._store.head_async(fragment.key)
        except FileNotFoundError:
            raise Temporary(f"fragment {fragment.id} is not in the object store just after it was stored", hint="does the bucket still exist?") from None
        if stored["size"] != fragment.bytes:
            raise Corrupt(f"fragment {fragment.id} has {stored['size']} bytes in the store, not {fragment.bytes}")
        if self._root is not None:
            await asyncio.to_thread(_sync, self._root, self._root / fragment.key)
        if self._cache is not None:
            self._cache.keep(fragment, path)

    async def _upload(self, fragment: Fragment, path: Path) -> None:
        """Large objects in parts; small ones in one request that never replaces an object, where the store knows how."""
        if self._root is not None or fragment.bytes > _ONE_REQUEST_BYTES or not self._if_absent:
            await self._store.put_async(fragment.key, path, chunk_size=_UPLOAD_PART_BYTES, max_concurrency=_UPLOAD_PARTS_AT_ONCE)
            return
        try:
            await self._store.put_async(fragment.key, path, mode="create")
        except AlreadyExistsError:
            pass  # ids are never used twice: a repeated request met its first try, and the size is compared next
        except BaseError as error:
            if not is_unsupported(error):
                raise
            self._if_absent = False
            await self._upload(fragment, path)

    async def lease(self, fragments: Sequence[Fragment]) -> Lease:
        """See `pulka.seams.FragmentFiles`: a local store's own files, copies in the cache, or else files in the spool."""
        if self._cache is not None:
            return await self._cache.lease(fragments)
        paths: dict[str, Path] = {}
        lease = Lease(paths, lambda doubt: self._discard_all(paths.values()))
        try:
            for fragment in fragments:
                paths[fragment.id] = await self.fetch(fragment.key)
        except BaseException:
            lease.release(False)
            raise
        return lease

    async def fetch(self, key: str) -> Path:
        """A local file with the bytes of a stored fragment; give it back with `discard`."""
        if self._root is not None:
            return self._root / key
        path = self._fetched_path(key)
        try:
            with translated():
                size = (await self._store.head_async(key))["size"]
            await self._downloads.to_file(key, size, path)
        except BaseException:
            self.discard(path)
            raise
        return path

    def discard(self, path: Path) -> None:
        """Delete a spooled file; the store's own files stay."""
        if path.parent == self._spool:
            path.unlink(missing_ok=True)

    def _discard_all(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self.discard(path)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are gone already are fine."""
        for start in range(0, len(keys), _DELETES_AT_ONCE):
            await asyncio.gather(*(self._delete(key) for key in keys[start : start + _DELETES_AT_ONCE]))

    async def _delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError), translated():
            await self._store.delete_async(key)
        if self._cache is not None:
            self._cache.drop(Path(key).stem)

    async def footer(self, key: str, *, verify: bool = False) -> dict[str, str]:
        """Footer items of a stored fragment; Corrupt when it cannot be read (`verify`: or any page is wrong)."""
        path = await (self.fetch(key) if verify or self._root is not None else self._fetch_end(key))
        try:
            return await asyncio.to_thread(read_footer, path, verify=verify)
        finally:
            self.discard(path)

    async def _fetch_end(self, key: str) -> Path:
        """A file as long as the object that has only its footer, the rest being a hole: one small request, rarely two."""
        size, end = await self._end(key, _FOOTER_BYTES)
        footer_bytes = int.from_bytes(end[-8:-4], "little") + 8
        if len(end) < footer_bytes <= size:
            size, end = await self._end(key, footer_bytes)
        path = self._fetched_path(key)
        with path.open("wb") as file:
            file.seek(size - len(end))
            file.write(end)
        return path

    async def _end(self, key: str, wanted_bytes: int) -> tuple[int, bytes]:
        """Size of an object, and its last bytes."""
        with translated():
            answer = await self._store.get_async(key, options={"range": {"suffix": wanted_bytes}})
            return answer.meta["size"], bytes(await answer.buffer_async())

    def _fetched_path(self, key: str) -> Path:
        self._spool.mkdir(parents=True, exist_ok=True)
        return self.spool_path(f"{Path(key).stem}.{next(self._fetched)}")


def read_footer(path: Path, *, verify: bool = False) -> dict[str, str]:
    """Footer items of a local fragment file."""
    try:
        return dict(_native.inspect_fragment(str(path), verify))
    except ValueError as error:
        raise Corrupt(f"{path.name}: {error}", hint="`pulka store check` lists what is damaged") from error


def _sync(root: Path, path: Path) -> None:
    """Flush a local object and every directory above it to disk.

    The local object store writes beside the key and renames, without fsync; syncing the renamed file and then the
    directories, deepest first, gives the same guarantee as an answer from S3.
    """
    _fsync(path)
    for parent in path.parents:
        _fsync(parent)
        if parent == root:
            break


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _column_stats(item: Mapping[str, Any]) -> ColumnStats:
    kind: FieldType = item["type"]
    column = Column(item["name"], item["path"], kind)
    values, automaton = item.get("values"), item.get("automaton") or {}
    return ColumnStats(
        column, int(item["nulls"]), _bound(kind, item.get("min")), _bound(kind, item.get("max")),
        None if values is None else tuple(values), b64decode(automaton.get("states", "")), b64decode(item.get("words", "")),
    )  # fmt: skip


def _bound(kind: FieldType, value: Any) -> Any:
    return float(value) if kind == "f64" and value is not None else value


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode() if isinstance(value, tuple) else str(value)


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
