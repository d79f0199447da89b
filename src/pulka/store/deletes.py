"""Deletes: from a request to the row in the catalog that hides and later removes what it names.

What existed when the request was made is told by the journal: a batch without rows is appended as a barrier, which no
fragment reaches across. Events before it are meant, events behind it never are, whenever they are flushed or merged.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from hashlib import sha256

import pyarrow as pa

from pulka.errors import Conflict, LimitExceeded
from pulka.model.fields import TIMESTAMP, arrow_type
from pulka.model.ids import new_id
from pulka.model.rules import Condition, Delete, Rules
from pulka.model.windows import TimeRange
from pulka.seams import Amendment, Catalog, Clock, Engine, Fragment, Fresh, Journal, Limits, Position

__all__ = ["Bind", "Deletes", "alike", "condition_hash", "state_of"]

Bind = Callable[[str, str, str], Awaitable[Condition]]
"""The condition that SQL is over a table of a tenant; the query side's."""

_BARRIER = pa.RecordBatch.from_pylist([], schema=pa.schema([pa.field(TIMESTAMP, arrow_type("timestamp"), nullable=False)]))
_ATTEMPTS = 8


class Deletes:
    """Takes requests. What they name is gone for queries when `request` returns, and from the objects when it is done."""

    def __init__(
        self, catalog: Catalog, journal: Journal, fresh: Fresh, reached: Callable[[Position], Awaitable[None]], engine: Engine, bind: Bind, clock: Clock
    ) -> None:  # fmt: skip
        """`reached` returns once the writer has read the journal up to a position."""
        self._catalog, self._journal, self._fresh, self._reached = catalog, journal, fresh, reached
        self._engine, self._bind, self._clock = engine, bind, clock

    async def request(self, tenant: str, table: str, where: str, window: TimeRange, by: str) -> Delete:
        """Hide and then remove what exists of the table, lies in `window` and makes `where` TRUE."""
        condition = await self._bind(tenant, table, where)
        try:
            rows = await self._count(tenant, table, condition, window)
        except LimitExceeded:
            rows = None  # more than one query may read; the rows removed are counted in any case
        now_ns = self._clock.now_ns()
        own_id = new_id(now_ns, self._clock.random)
        hashed = condition_hash(own_id, where)
        wanted = Delete(own_id, tenant, table, condition, hashed, window, created_ns=now_ns, created_by=by, rows_matched=rows)
        return await self._record(wanted, where)

    async def matching(self, tenant: str, table: str, where: str, window: TimeRange) -> int:
        """How many rows a request would remove. LimitExceeded when that takes too long to count."""
        return await self._count(tenant, table, await self._bind(tenant, table, where), window)

    async def all(self, tenant: str) -> Rules:
        """Every request of a tenant, with the holds that may keep it from being done."""
        return await self._catalog.rules(tenant)

    async def _record(self, wanted: Delete, where: str) -> Delete:
        """Events may be published between barrier and record; then a new barrier is needed, and seldom a third."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._try(wanted, where)
            except Conflict:
                continue
        return await self._try(wanted, where)

    async def _try(self, wanted: Delete, where: str) -> Delete:
        barrier = await self._journal.append(wanted.tenant, wanted.table, _BARRIER)
        await self._reached(barrier)
        condition = await self._bind(wanted.tenant, wanted.table, where)  # with the types of every event before the barrier
        positions = {at.partition: at.sequence for at, _ in self._fresh.fresh(wanted.tenant, wanted.table)}
        placed = replace(wanted, condition=condition, positions=positions | {barrier.partition: barrier.sequence})
        await self._catalog.amend(Amendment(put=(placed,)))
        return placed

    async def _count(self, tenant: str, table: str, condition: Condition, window: TimeRange) -> int:
        sql = f"SELECT count(*) AS n FROM {table} WHERE ({condition.sql}\n)"  # noqa: S608 - bound before
        result = await self._engine.run(sql, tenant, window, Limits())
        return sum([row["n"] async for batch in result.batches for row in batch.to_pylist()])


def condition_hash(delete_id: str, where: str) -> str:
    """SHA-256 of `ID:WHERE`: proves later which condition was carried out, to those who know it."""
    return sha256(f"{delete_id}:{where}".encode()).hexdigest()


def state_of(one: Delete, rules: Rules) -> str:
    """`done`, `held` when a hold keeps some of its rows in the objects, else `pending`."""
    if one.done_ns is not None:
        return "done"
    holds = (hold for hold in rules.holds if (hold.tenant, hold.table) == (one.tenant, one.table))
    return "held" if any(_meet(hold.window, one.window) for hold in holds) else "pending"


def _meet(one: TimeRange, other: TimeRange) -> bool:
    first_ns = -(2**63) if other.start_ns is None else other.start_ns
    last_ns = 2**63 - 1 if other.end_ns is None else other.end_ns - 1
    return first_ns <= last_ns and one.overlaps(first_ns, last_ns)


def alike(fragments: Iterable[Fragment], deletes: Iterable[Delete]) -> list[list[Fragment]]:
    """Fragments that may be merged with each other: every pending delete concerns all of a group or none.

    `fragments` are read before `deletes`, or with them: a delete that comes later concerns all of them anyway.
    """
    found = list(fragments)
    if not found:
        return []
    ends = min(one.min_ns for one in found), max(one.max_ns for one in found)
    numbers = [one.number for one in deletes if one.done_ns is None and one.window.overlaps(*ends)]
    groups: dict[int, list[Fragment]] = {}
    for fragment in found:
        groups.setdefault(sum(number > fragment.deleted_upto for number in numbers), []).append(fragment)
    return list(groups.values())
