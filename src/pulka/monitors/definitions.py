"""Monitors and saved queries in the catalog: made, read, changed, removed. One document each, and one for a monitor's state."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from pulka.errors import BadInput, NotFound, nearest
from pulka.model.ids import new_id
from pulka.monitors.definition import Limits, Monitor, SavedQuery, check_name, checked
from pulka.monitors.evaluate import State
from pulka.seams import Clock, Document, Documents, Edit

__all__ = ["MONITOR", "SAVED", "STATE", "Definitions", "body", "current_state"]

MONITOR, STATE, SAVED = "monitor", "monitor_state", "saved_query"
Kept = TypeVar("Kept", Monitor, SavedQuery)
Try = Callable[[str, Monitor], Awaitable[object]]
"""Asks a monitor's question once; raises what is wrong with it."""


class Definitions:
    """What the tenants have defined. Every change is compare-and-set: Conflict when somebody else changed the same meanwhile."""

    def __init__(self, documents: Documents, clock: Clock, limits: Limits, *, has_mail: bool = False) -> None:
        self._documents, self._clock, self.limits, self._has_mail = documents, clock, limits, has_mail

    async def monitors(self, tenant: str) -> list[tuple[Monitor, State]]:
        """All of a tenant, with their states."""
        states = {one.name: one for one in await self._documents.documents(STATE, tenant)}
        found = [_read(one, Monitor) for one in await self._documents.documents(MONITOR, tenant)]
        return [(one, current_state(one, states.get(one.name))) for one in found]

    async def monitor(self, tenant: str, name: str) -> tuple[Monitor, State]:
        """One with its state; NotFound with the nearest name."""
        document = await self._one(MONITOR, tenant, name, "monitor")
        states = await self._documents.documents(STATE, tenant, name)
        monitor = _read(document, Monitor)
        return monitor, current_state(monitor, states[0] if states else None)

    async def put_monitor(self, tenant: str, wanted: Monitor, attempt: Try) -> Monitor:
        """Make or replace; its question is asked once before. What concerns its evaluation being the same, its state goes on."""
        checked(wanted, self.limits)
        if wanted.emails and not self._has_mail:
            raise BadInput("this server sends no e-mail", hint="set smtp_url and smtp_from, or use a webhook")
        await attempt(tenant, wanted)
        known = await self._documents.documents(MONITOR, tenant, wanted.name)
        if not known and len(await self._documents.documents(MONITOR, tenant)) >= self.limits.monitors_max:
            raise BadInput(f"there are {self.limits.monitors_max} monitors already", hint="delete one, or raise monitors_max")
        now_ns = self._clock.now_ns()
        before = _read(known[0], Monitor) if known else None
        same = before is not None and before.evaluated == wanted.evaluated
        made = msgspec.structs.replace(
            wanted, id=before.id if before and same else new_id(now_ns, self._clock.random), created_ns=before.created_ns if before else now_ns,
            muted_until_ns=before.muted_until_ns if before else 0,
        )  # fmt: skip
        await self._documents.edit([Edit(MONITOR, tenant, made.name, known[0].version if known else 0, body(made))])
        return made

    async def mute(self, tenant: str, name: str, until_ns: int) -> Monitor:
        """Send nothing until then; 0 ends that."""
        document = await self._one(MONITOR, tenant, name, "monitor")
        muted = msgspec.structs.replace(_read(document, Monitor), muted_until_ns=until_ns)
        await self._documents.edit([Edit(MONITOR, tenant, name, document.version, body(muted))])
        return muted

    async def remove_monitor(self, tenant: str, name: str) -> Monitor:
        """Forget it and its state; what it still has to send is sent."""
        document = await self._one(MONITOR, tenant, name, "monitor")
        states = await self._documents.documents(STATE, tenant, name)
        await self._documents.edit([Edit(one.kind, tenant, name, one.version, None) for one in (document, *states)])
        return _read(document, Monitor)

    async def saved(self, tenant: str) -> list[SavedQuery]:
        """All saved queries of a tenant."""
        return [_read(one, SavedQuery) for one in await self._documents.documents(SAVED, tenant)]

    async def saved_query(self, tenant: str, name: str) -> SavedQuery:
        """One; NotFound with the nearest name."""
        return _read(await self._one(SAVED, tenant, name, "saved query"), SavedQuery)

    async def save(self, tenant: str, wanted: SavedQuery) -> SavedQuery:
        """Make or replace."""
        check_name(wanted.name)
        if (wanted.sql is None) == (wanted.search is None):
            raise BadInput("a saved query is either `sql` or `search`", hint="give exactly one of them")
        known = await self._documents.documents(SAVED, tenant, wanted.name)
        made = msgspec.structs.replace(wanted, created_ns=_read(known[0], SavedQuery).created_ns if known else self._clock.now_ns())
        await self._documents.edit([Edit(SAVED, tenant, made.name, known[0].version if known else 0, body(made))])
        return made

    async def forget(self, tenant: str, name: str) -> SavedQuery:
        """Remove a saved query that no monitor asks."""
        document = await self._one(SAVED, tenant, name, "saved query")
        users = [monitor.name for monitor, _ in await self.monitors(tenant) if monitor.saved == name]
        if users:
            raise BadInput(f"the monitor `{users[0]}` asks it", hint="delete or change the monitor first")
        await self._documents.edit([Edit(SAVED, tenant, name, document.version, None)])
        return _read(document, SavedQuery)

    async def _one(self, kind: str, tenant: str, name: str, called: str) -> Document:
        found = await self._documents.documents(kind, tenant, check_name(name))
        if found:
            return found[0]
        names = _names(await self._documents.documents(kind, tenant))
        raise NotFound(f"there is no {called} `{name[:80]}`", hint=nearest(name[:80], names) or f"there are {len(names)}")


def body(value: Monitor | SavedQuery | State) -> str:
    """As a document has it."""
    return msgspec.json.encode(value).decode()


def current_state(monitor: Monitor, document: Document | None) -> State:
    """The state, unless it is that of an earlier definition."""
    state = msgspec.json.decode(document.body, type=State) if document else State(monitor.id)
    return state if state.of == monitor.id else State(monitor.id)


def _read(document: Document, kind: type[Kept]) -> Kept:
    return msgspec.json.decode(document.body, type=kind)


def _names(documents: Sequence[Document]) -> list[str]:
    return [one.name for one in documents]
