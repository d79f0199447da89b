"""`pulka store check`: does every catalog entry have the object it describes, every object an entry, and every row one place?

Each table is checked against one snapshot of the catalog, so a lake may run beside. What is wrong with one object comes
first, then what only all footers of a table together tell: rows that are there twice, journal positions that do not fit.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from obstore.store import ObjectStore

from pulka.errors import Corrupt
from pulka.model.windows import TimeRange
from pulka.seams import Catalog, Clock, Fragment
from pulka.store.collect import orphans
from pulka.store.fragments import FragmentObjects, FragmentOrigin, fragment_of
from pulka.store.lineage import Cell, Cells, holds
from pulka.store.outages import translated

__all__ = ["Finding", "check"]

_AT_ONCE = 8  # a remote store answers slowly, but many questions at once

FindingKind = Literal[
    "missing_object", "size_mismatch", "unreadable", "foreign_object", "mismatch", "orphan_object", "doubled_rows", "position_behind", "position_beyond"
]  # fmt: skip

_RESTORE = "restore the object from a backup, then check again; without one, move the catalog away and run `pulka store repair`: its rows are lost"
_REBUILD = "stop Pulka, move the catalog away and rebuild it from the footers: `pulka store repair`"
_TOLD = (
    "id", "tenant", "table", "window_start_ns", "window_ns", "min_ns", "max_ns", "rows", "bytes", "raw_bytes", "level", "created_ns", "columns", "residual",
)  # fmt: skip
"""What footer and catalog both say. The key is not among them: objects may be moved, and the catalog be rebuilt after."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, where, and what to do about it."""

    kind: FindingKind
    key: str
    detail: str
    todo: str


class _Member(NamedTuple):
    """A live fragment and where its footer says it comes from."""

    fragment: Fragment
    origin: FragmentOrigin


class _Table(NamedTuple):
    """What one table's footers and the catalog's journal positions say, of one moment."""

    tenant: str
    name: str
    members: Sequence[_Member]
    positions: Mapping[int, int]


async def check(
    catalog: Catalog,
    store: ObjectStore,
    objects: FragmentObjects,
    clock: Clock,
    *,
    verify: bool = False,
    grace_s: float = 300.0,
) -> AsyncIterator[Finding]:
    """Everything that is wrong. Reads every footer (`verify`: every page); changes nothing."""
    for tenant in await catalog.tenants():
        for table in await catalog.tables(tenant):
            async for finding in _check_table(catalog, store, objects, tenant, table, verify):
                yield finding
    async for key in orphans(catalog, store, clock, grace_s):
        yield Finding("orphan_object", key, "no catalog entry mentions it", "delete it: `pulka store repair --orphans`")


async def _check_table(
    catalog: Catalog, store: ObjectStore, objects: FragmentObjects, tenant: str, table: str, verify: bool
) -> AsyncIterator[Finding]:
    snapshot = await catalog.snapshot(tenant, table, TimeRange())
    members: list[_Member] = []
    for start in range(0, len(snapshot.fragments), _AT_ONCE):
        some = snapshot.fragments[start : start + _AT_ONCE]
        found = await asyncio.gather(*(_check_fragment(fragment, store, objects, verify) for fragment in some))
        for fragment, seen in zip(some, found, strict=True):
            if isinstance(seen, _Member):
                members.append(seen)
            elif await _still_live(catalog, fragment):
                yield seen
    whole = _Table(tenant, table, members, snapshot.positions)
    for finding in _doubled(whole):
        yield finding
    # A footer that cannot be read, or was merged away meanwhile, may be the one that reaches as far as the position.
    for finding in _positions(whole) if len(members) == len(snapshot.fragments) else ():
        yield finding


async def _check_fragment(fragment: Fragment, store: ObjectStore, objects: FragmentObjects, verify: bool) -> _Member | Finding:
    size = -1
    try:
        with translated():
            size = (await store.head_async(fragment.key))["size"]
        footer = await objects.footer(fragment.key, verify=verify)
        origin = FragmentOrigin.read(footer)
        told = fragment_of(origin, footer.get("pulka.fragment", ""))
    except FileNotFoundError:
        return Finding("missing_object", fragment.key, f"{fragment.rows} rows of `{fragment.table}` cannot be read", _RESTORE)
    except Corrupt as error:
        if size == fragment.bytes:
            return Finding("unreadable", fragment.key, error.message, _RESTORE)
        return Finding("size_mismatch", fragment.key, f"{size} bytes in the store, {fragment.bytes} in the catalog", _RESTORE)
    return _compare(fragment, told) or _Member(fragment, origin)


def _compare(fragment: Fragment, told: Fragment) -> Finding | None:
    if (told.tenant, told.table) != (fragment.tenant, fragment.table):
        detail = f"it belongs to `{told.table}` of tenant `{told.tenant}`; the catalog has it in `{fragment.table}` of `{fragment.tenant}`"
        return Finding("foreign_object", fragment.key, detail, _REBUILD)
    wrong = [name for name in _TOLD if getattr(told, name) != getattr(fragment, name)]
    return Finding("mismatch", fragment.key, f"footer and catalog differ in {', '.join(wrong)}", _REBUILD) if wrong else None


async def _still_live(catalog: Catalog, fragment: Fragment) -> bool:
    """A fragment that was merged away while we looked is no finding."""
    return any(live.id == fragment.id for live in await catalog.fragments(fragment.tenant, fragment.table))


def _doubled(table: _Table) -> Iterator[Finding]:
    """The rows of a journal record, or a share of them, are in one fragment."""
    parts = {member.fragment.key: holds(member.origin) for member in table.members}
    cells = Cells([part for held in parts.values() for part in held])
    holders: dict[Cell, str] = {}
    for key, held in sorted(parts.items()):
        twice = sorted(cell for cell in cells.of(held) if holders.setdefault(cell, key) != key)
        if twice:
            first = twice[0]
            detail = f"{holders[first]} has rows of the same window from the same records: {first.start + 1} and on of partition {first.partition}"
            yield Finding("doubled_rows", key, detail, _REBUILD)


def _positions(table: _Table) -> Iterator[Finding]:
    """The catalog says how far the journal is contained in fragments; the newest footer says it too."""
    reached: dict[int, int] = {}
    for partition, _, end in (position for member in table.members for position in member.origin.positions):
        reached[partition] = max(reached.get(partition, 0), end)
    where = f"{table.tenant}/{table.name}"
    for partition in sorted(reached.keys() | table.positions.keys()):
        told, found = table.positions.get(partition, 0), reached.get(partition, 0)
        at = f"partition {partition}: the catalog says {told}, fragments reach {found}"
        if told < found:
            yield Finding("position_behind", where, f"{at}; the next start would store records {told + 1} to {found} again", _REBUILD)
        if told > found:
            lost = f"{at}; records {found + 1} to {told} are in no fragment, which is right only if a delete or retention took them"
            yield Finding("position_beyond", where, lost, f"if nothing did: {_REBUILD}; the journal is then read from {found + 1}")

