"""The queries that run or wait now: who asked what, how far it is, and how to stop it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from pulka.errors import BadInput, Conflict, NotFound
from pulka.query.masked import masked

__all__ = ["Progress", "Queries", "Read", "check_query_id"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", re.A)


@dataclass(frozen=True, slots=True)
class Read:
    """What a scan has read so far."""

    fragments: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Progress:
    """One query and how far it is. Fragments that a search has answered, or that were not needed after all, are done."""

    id: str
    tenant: str
    sql: str
    since_ns: int
    stage: str = "wait"
    fragments_total: int = 0
    fragments_done: int = 0
    bytes_total: int = 0
    bytes_read: int = 0
    rows: int = 0
    reads: Callable[[], Read] = field(default=Read, repr=False)
    """What the scan that runs has read; asked for only when somebody looks."""

    def settle(self) -> None:
        """The scan that ran is at its end."""
        read, self.reads = self.reads(), Read
        self.fragments_done, self.bytes_read = self._fragments(read), self.bytes_read + read.bytes

    def as_dict(self) -> dict[str, object]:
        """What surfaces show. A file that two threads read counts twice in DataFusion, hence the bound."""
        read = self.reads()
        return {
            "id": self.id, "sql": self.sql, "stage": self.stage, "fragments_done": self._fragments(read), "fragments_total": self.fragments_total,
            "bytes_read": self.bytes_read + read.bytes, "bytes_total": self.bytes_total, "rows": self.rows,
        }  # fmt: skip

    def _fragments(self, read: Read) -> int:
        return min(self.fragments_done + read.fragments, self.fragments_total)


class Queries:
    """All of them, by tenant and id."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], tuple[Progress, Callable[[], None]]] = {}
        self._number = 0

    def add(self, query_id: str, tenant: str, sql: str, since_ns: int, cancel: Callable[[], None]) -> Progress:
        """Note a query that begins; `cancel` stops it. Without an id it gets one. Conflict when the tenant has one with this id."""
        self._number += 1
        query_id = query_id or f"{since_ns // 1_000_000:x}-{self._number}"
        if (tenant, query_id) in self._running:
            raise Conflict("a query with this id runs already", hint="give every query an id of its own, or none")
        progress = Progress(query_id, tenant, masked(sql), since_ns)
        self._running[tenant, query_id] = progress, cancel
        return progress

    def remove(self, progress: Progress) -> None:
        """It has ended."""
        self._running.pop((progress.tenant, progress.id), None)

    def of(self, tenant: str) -> list[Progress]:
        """Those of a tenant, the oldest first."""
        return sorted((one for one, _ in self._running.values() if one.tenant == tenant), key=lambda one: one.since_ns)

    def one(self, tenant: str, query_id: str) -> Progress:
        """How far a query is. NotFound when it has ended."""
        return self._found(tenant, query_id)[0]

    def cancel(self, tenant: str, query_id: str) -> Progress:
        """Stop a query; how far it was. NotFound when it has ended."""
        progress, cancel = self._found(tenant, query_id)
        cancel()
        return progress

    def _found(self, tenant: str, query_id: str) -> tuple[Progress, Callable[[], None]]:
        try:
            return self._running[tenant, query_id]
        except KeyError:
            raise NotFound("no query with this id runs", hint="it has ended; GET /api/v1/queries lists those that run") from None


def check_query_id(query_id: str) -> str:
    """`query_id` when it may be one, else BadInput."""
    if not _ID.fullmatch(query_id):
        raise BadInput("this cannot be the id of a query", hint="up to 64 letters, digits, dots, colons, hyphens and underscores")
    return query_id
