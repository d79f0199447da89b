"""What is to be told, kept in the catalog until it was: at least once, with growing pauses, or said to have failed.

Entries come into being in the transaction of the evaluation that causes them and go after they were sent, so a process that
dies in between sends again, under the same id. What one receiver is to hear of one monitor goes in its order: an alert that was
refused at first must not arrive after its recovery.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pulka.errors import BadInput, Conflict
from pulka.monitors.telling import Entry, delivery_failed
from pulka.seams import Clock, Document, Documents, Edit

__all__ = ["OUTBOX", "Outbox", "OutboxCounts", "Send", "added"]

OUTBOX = "monitor_outbox"
_AT_ONCE = 16
_FIRST_PAUSE_S, _PAUSE_MAX_S = 2.0, 900.0
_log = logging.getLogger(__name__)

Send = Callable[[str, Entry], Awaitable[None]]
"""Sends an entry of a tenant. BadInput: it will never be taken. Any other error: try again."""


@dataclass(slots=True)
class OutboxCounts:
    """Counters since the start."""

    sent: int = 0
    retries: int = 0
    failed: int = 0


def added(tenant: str, entries: Sequence[Entry]) -> list[Edit]:
    """The edits that put entries into the outbox."""
    return [Edit(OUTBOX, tenant, entry.id, 0, msgspec.json.encode(entry).decode()) for entry in entries]


class Outbox:
    """Sends what is due."""

    def __init__(self, documents: Documents, clock: Clock, senders: Mapping[str, Send], retry_s: float) -> None:
        """`retry_s`: how long a notification is tried."""
        self.counts = OutboxCounts()
        self._documents, self._clock, self._senders, self._retry_ns = documents, clock, senders, int(retry_s * 1e9)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def turn(self) -> None:
        """Try everything that is due once."""
        queues: dict[tuple[str, str, str, str], list[tuple[Document, Entry]]] = {}
        for one in await self._documents.documents(OUTBOX):
            entry = msgspec.json.decode(one.body, type=Entry)
            queues.setdefault((one.tenant, entry.monitor, entry.to, entry.address), []).append((one, entry))
        await asyncio.gather(*(self._empty(sorted(queue, key=lambda waiting: waiting[1].created_ns)) for queue in queues.values()))

    async def _empty(self, queue: Sequence[tuple[Document, Entry]]) -> None:
        """Up to the first that is not due, or has to wait again."""
        for document, entry in queue:
            if entry.next_ns > self._clock.now_ns() or not await self._try(document, entry):
                return

    async def _try(self, document: Document, entry: Entry) -> bool:
        """Whether it is done with: sent, or given up."""
        async with self._slots:
            try:
                await self._senders[entry.to](document.tenant, entry)
            except Exception as error:
                edits = self._after(document, entry, error)
            else:
                self.counts.sent += 1
                edits = [_out(document)]
        try:
            await self._documents.edit(edits)
        except Conflict:
            _log.info("%s was sent by another process too", entry.id)
        return edits[0].body is None

    def _after(self, document: Document, entry: Entry, error: Exception) -> list[Edit]:
        """Later again, or, when there is no hope, a row of history that says so."""
        now_ns, attempts = self._clock.now_ns(), entry.attempts + 1
        reason = error.message if isinstance(error, BadInput) else type(error).__name__  # other texts may quote what is secret
        pause_s = min(_PAUSE_MAX_S, _FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 16))
        later = msgspec.structs.replace(entry, attempts=attempts, next_ns=now_ns + int(pause_s * 1e9))
        hopeless = isinstance(error, BadInput) or (entry.to != "history" and later.next_ns > entry.created_ns + self._retry_ns)
        if not hopeless:
            self.counts.retries += 1
            return [Edit(document.kind, document.tenant, document.name, document.version, msgspec.json.encode(later).decode())]
        self.counts.failed += 1
        _log.warning("a %s of monitor %s of tenant %s failed for good: %s", entry.to, entry.monitor, document.tenant, reason)
        return [_out(document), *(added(document.tenant, [delivery_failed(later, now_ns, reason)]) if entry.to != "history" else [])]


def _out(document: Document) -> Edit:
    return Edit(document.kind, document.tenant, document.name, document.version, None)
