"""Which of the processes on a catalog works: a document that names its holder and until when, taken by compare-and-set.

The holder's clock and the others' may differ: nothing breaks when two work at once, because every evaluation is committed by
compare-and-set too. The lease only keeps them from doing the same twice.
"""

import asyncio

import msgspec

from pulka.errors import Conflict
from pulka.seams import Clock, Documents, Edit

__all__ = ["Lease"]

_KIND, _NAME = "lease", "monitors"


class _Held(msgspec.Struct, frozen=True):
    owner: str
    until_ns: int


class Lease:
    """Held for `ttl_s`, renewed when half of that is over."""

    def __init__(self, documents: Documents, clock: Clock, owner: str, ttl_s: float) -> None:
        self._documents, self._clock, self._owner, self._ttl_ns = documents, clock, owner, int(ttl_s * 1e9)
        self._until_ns = 0
        self._lock = asyncio.Lock()

    async def hold(self) -> bool:
        """Take or renew it; False while another has it."""
        async with self._lock:
            return await self._hold()

    async def _hold(self) -> bool:
        now_ns = self._clock.now_ns()
        if self._until_ns - now_ns > self._ttl_ns // 2:
            return True
        found = await self._documents.documents(_KIND, "", _NAME)
        held = msgspec.json.decode(found[0].body, type=_Held) if found else None
        if held is not None and held.owner != self._owner and held.until_ns > now_ns:
            self._until_ns = 0
            return False
        return await self._take(found[0].version if found else 0, now_ns + self._ttl_ns)

    async def release(self) -> None:
        """Let another have it at once."""
        if self._until_ns > self._clock.now_ns():
            found = await self._documents.documents(_KIND, "", _NAME)
            if found and msgspec.json.decode(found[0].body, type=_Held).owner == self._owner:
                await self._take(found[0].version, 0)

    async def _take(self, version: int, until_ns: int) -> bool:
        body = msgspec.json.encode(_Held(self._owner, until_ns)).decode()
        try:
            await self._documents.edit([Edit(_KIND, "", _NAME, version, body)])
        except Conflict:
            until_ns = 0
        self._until_ns = until_ns
        return until_ns > 0
