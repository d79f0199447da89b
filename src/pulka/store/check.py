"""`pulka store check`: does every catalog entry have the object it describes, and every object an entry?"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Literal

from obstore.store import ObjectStore

from pulka.errors import Corrupt
from pulka.seams import Catalog, Clock, Fragment
from pulka.store.collect import orphans
from pulka.store.fragments import FragmentObjects, FragmentOrigin, fragment_of
from pulka.store.outages import translated

__all__ = ["Finding", "check"]

_AT_ONCE = 8  # a remote store answers slowly, but many questions at once
FindingKind = Literal["missing_object", "size_mismatch", "unreadable", "mismatch", "orphan_object"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, where, and what to do about it."""

    kind: FindingKind
    key: str
    detail: str
    todo: str


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
    fragments = await catalog.fragments()
    for start in range(0, len(fragments), _AT_ONCE):
        some = fragments[start : start + _AT_ONCE]
        findings = await asyncio.gather(*(_check_fragment(fragment, store, objects, verify) for fragment in some))
        for fragment, finding in zip(some, findings, strict=True):
            if finding is not None and await _still_live(catalog, fragment):
                yield finding
    async for key in orphans(catalog, store, clock, grace_s):
        yield Finding("orphan_object", key, "no catalog entry mentions it", "delete it: `pulka store repair --orphans`")


async def _check_fragment(
    fragment: Fragment, store: ObjectStore, objects: FragmentObjects, verify: bool
) -> Finding | None:
    try:
        with translated():
            size = (await store.head_async(fragment.key))["size"]
        if size == fragment.bytes:
            return await _check_footer(fragment, objects, verify)
    except FileNotFoundError:
        lost = f"{fragment.rows} rows of `{fragment.table}` cannot be read"
        return Finding("missing_object", fragment.key, lost, "restore the object from a backup, then check again")
    detail = f"{size} bytes in the store, {fragment.bytes} in the catalog"
    return Finding("size_mismatch", fragment.key, detail, "restore the object from a backup, then check again")


async def _check_footer(fragment: Fragment, objects: FragmentObjects, verify: bool) -> Finding | None:
    try:
        footer = await objects.footer(fragment.key, verify=verify)
        told = fragment_of(FragmentOrigin.read(footer), footer.get("pulka.fragment", ""))
    except Corrupt as error:
        return Finding("unreadable", fragment.key, error.message, "restore the object from a backup, then check again")
    # The writer learns the size of the file only after the footer is in it; the marks are the catalog's own.
    if (told := replace(told, bytes=fragment.bytes, deleted_upto=fragment.deleted_upto, swept=fragment.swept)) != fragment:
        wrong = ", ".join(
            name for name in fragment.__dataclass_fields__ if getattr(told, name) != getattr(fragment, name)
        )
        return Finding(
            "mismatch",
            fragment.key,
            f"footer and catalog differ in {wrong}",
            "rebuild the catalog: `pulka store repair`",
        )
    return None


async def _still_live(catalog: Catalog, fragment: Fragment) -> bool:
    """A fragment that was merged away while we looked is no finding."""
    return any(live.id == fragment.id for live in await catalog.fragments(fragment.tenant, fragment.table))
