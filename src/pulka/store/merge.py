"""One merge: inputs to outputs, checked, stored, and swapped in the catalog in one transaction.

A crash at any step leaves at worst objects nobody refers to. After any error but a Conflict the swap may have been
committed all the same (the answer was lost), so the outputs stay; the next plan is made from what the catalog says then.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from pulka import _native
from pulka.errors import Conflict, Corrupt
from pulka.model.ids import new_id
from pulka.model.tables import table as table_definition
from pulka.seams import Catalog, Clock, Fragment, Publication
from pulka.store.fragments import FragmentObjects, FragmentOrigin, WriteOptions, coalesce, fragment_of, read_footer
from pulka.store.lineage import holds, merged
from pulka.store.plan import Merge

__all__ = ["Change", "Drop", "Merged", "Merger", "origin_of"]

Masks = Sequence[pa.BooleanArray | None]
Drop = Callable[[Fragment, Path], Awaitable[pa.BooleanArray | None]]
"""Which rows of an input (and its local file) to leave out: true where one goes; None when all stay."""

Change = Callable[[Sequence[Fragment], Sequence[Fragment]], Publication]

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge wrote, and the seconds of one thread that it took."""

    outputs: tuple[Fragment, ...]
    busy_s: float

    @property
    def bytes(self) -> int:
        """Bytes written."""
        return sum(fragment.bytes for fragment in self.outputs)


class Merger:
    """Does merges. `memory_bytes` bounds what one holds while it runs, whatever it merges."""

    def __init__(
        self, catalog: Catalog, objects: FragmentObjects, clock: Clock, write: WriteOptions, memory_bytes: int = 128 << 20
    ) -> None:
        self._catalog, self._objects, self._clock = catalog, objects, clock
        self._write, self._memory_bytes = write, memory_bytes

    async def merge(self, merge: Merge, drop: Drop | None = None, change: Change | None = None) -> Merged:
        """Do one merge, without the rows that `drop` names. Without any row left, the inputs go and nothing comes.

        `change` makes the publication out of inputs and outputs; without it they are swapped. Conflict, and nothing changed,
        when an input is retired already: another worker was first.
        """
        stored: list[Fragment] = []
        try:
            busy_s = await self._store_outputs(merge, drop, stored)
        except BaseException:
            await self._delete(stored)
            raise
        try:
            await self._catalog.publish((change or _swap)(merge.inputs, stored))
        except Conflict:
            await self._delete(stored)
            raise
        return Merged(tuple(stored), busy_s)

    async def _store_outputs(self, merge: Merge, drop: Drop | None, stored: list[Fragment]) -> float:
        now_ns = self._clock.now_ns()
        spooled = [self._objects.spool_path(new_id(now_ns, self._clock.random)) for _ in range(merge.outputs)]
        lease = await self._objects.lease(merge.inputs)
        doubt = False
        try:
            inputs = [lease.paths[fragment.id] for fragment in merge.inputs]
            began_s = self._clock.monotonic_s()
            masks = [await drop(*pair) for pair in zip(merge.inputs, inputs, strict=True)] if drop else None
            outputs = await _until_cancelled(lambda cancel: self._merge_files(merge, inputs, spooled, now_ns, masks, cancel))
            busy_s = self._clock.monotonic_s() - began_s
            for fragment, path in zip(outputs, spooled, strict=False):
                stored.append(fragment)
                await self._objects.put(fragment, path)
        except (Corrupt, ValueError):
            doubt = True
            raise
        finally:
            lease.release(doubt)
            for path in spooled:
                self._objects.discard(path)
        return busy_s

    def _merge_files(
        self, merge: Merge, inputs: Sequence[Path], outputs: Sequence[Path], now_ns: int, masks: Masks | None, cancel: _native.Cancel
    ) -> list[Fragment]:
        origin = origin_of(merge, [FragmentOrigin.read(read_footer(path)) for path in inputs], now_ns)
        arguments = self._write.arguments(table_definition(origin.table))
        descriptions = _native.merge_fragments(
            [str(path) for path in inputs], [str(path) for path in outputs], **arguments, metadata=_metadata(origin),
            memory_bytes=self._memory_bytes, output_rows=merge.output_rows, drop=masks, cancel=cancel,
        )  # fmt: skip
        ids = tuple(path.stem for path in outputs[: len(descriptions)])
        written = [fragment_of(replace(origin, id=own, outputs=ids), text) for own, text in zip(ids, descriptions, strict=True)]
        expected = merge.rows - sum(mask.true_count for mask in masks or () if mask is not None)
        if (rows := sum(fragment.rows for fragment in written)) != expected:
            raise Corrupt(f"a merge of {expected} rows made {rows}; its inputs stay", hint="run `pulka store check`")
        return written

    async def _delete(self, fragments: Sequence[Fragment]) -> None:
        """Objects nobody refers to; what cannot be deleted now is an orphan for `pulka store repair`."""
        try:
            await self._objects.delete([fragment.key for fragment in fragments])
        except Exception as error:
            _log.info("outputs of a merge that failed stay behind: %s", error)


async def _until_cancelled(work: Callable[[_native.Cancel], T]) -> T:
    """Run in a thread. When the task is cancelled the thread is told, and waited for: it still has the files."""
    cancel = _native.Cancel()
    running = asyncio.ensure_future(asyncio.to_thread(work, cancel))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        cancel.cancel()
        await asyncio.gather(running, return_exceptions=True)
        raise


def _swap(inputs: Sequence[Fragment], outputs: Sequence[Fragment]) -> Publication:
    """All rows stay. The deletes that are pending concern all inputs or none (the catalog sees to it), so the last mark holds."""
    upto = max(fragment.deleted_upto for fragment in inputs)
    names = {fragment.swept for fragment in inputs}
    swept = names.pop() if len(names) == 1 else ""
    added = tuple(replace(one, deleted_upto=upto, swept=swept) for one in outputs)
    return Publication(add=added, retire=tuple(one.id for one in inputs))


def origin_of(merge: Merge, inputs: Sequence[FragmentOrigin], now_ns: int) -> FragmentOrigin:
    """What all outputs have in common; each has an id of its own."""
    parts = merged(part for origin in inputs for part in holds(origin))
    plain = all(not part.path and (part.window_start_ns, part.window_ns) == merge.window for part in parts)
    # Later than its inputs, whatever the clocks say: a repair takes the latest of those that have the same records, and
    # an input may have rows that are deleted here.
    created_ns = max(now_ns, 1 + max(origin.created_ns for origin in inputs))
    return FragmentOrigin(
        "", merge.first.tenant, merge.first.table, *merge.window, level=merge.level, created_ns=created_ns,
        positions=coalesce([position for origin in inputs for position in origin.positions]),
        inputs=tuple(origin.id for origin in inputs),
        parts=() if plain else parts,
    )  # fmt: skip


def _metadata(origin: FragmentOrigin) -> Mapping[str, str]:
    """Footer items but `pulka.id` and `pulka.outputs`, which the merge adds to each output."""
    return {key: text for key, text in origin.metadata().items() if key != "pulka.id"}
