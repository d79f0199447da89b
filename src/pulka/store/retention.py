"""Retention policies and legal holds: set, list, remove."""

from dataclasses import dataclass

from pulka.errors import BadInput, NotFound
from pulka.model.ids import new_id
from pulka.model.rules import ALL_TABLES, Hold, Retention, Rules
from pulka.model.tables import check_table
from pulka.model.windows import TimeRange
from pulka.seams import Amendment, Catalog, Clock
from pulka.store.deletes import Bind

__all__ = ["Keeping"]

_KEEP_S_MAX = 9_000_000_000
"""285 years, all that nanoseconds since 1970 can tell."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What tenants say of how long to keep. `default_s` is for tables without a policy, 0 for ever."""

    catalog: Catalog
    clock: Clock
    bind: Bind
    default_s: int = 0

    async def rules(self, tenant: str) -> Rules:
        """Policies and holds of a tenant."""
        return await self.catalog.rules(tenant)

    async def set_policy(self, tenant: str, table: str, keep_s: int, where: str | None, by: str) -> Retention:
        """Keep a table's rows, or those for which `where` is TRUE, `keep_s` seconds; replaces the policy for the same rows."""
        if not 0 <= keep_s <= _KEEP_S_MAX:
            raise BadInput(f"rows can be kept 1 to {_KEEP_S_MAX:,} seconds, or 0 for ever", hint="for example 30d")
        if where is not None and table == ALL_TABLES:
            raise BadInput("a policy with a condition is for one table", hint="name the table whose fields the condition is about")
        condition = None if where is None else await self.bind(tenant, table, where)
        policy = Retention(self._new_id(), tenant, _check(table), keep_s, condition, self.clock.now_ns(), by)
        await self.catalog.amend(Amendment(put=(policy,)))
        return policy

    async def remove_policy(self, tenant: str, wanted: str) -> Retention:
        """Take a policy back; NotFound when the tenant has none with this id."""
        for policy in (await self.catalog.rules(tenant)).retention:
            if policy.id == wanted:
                await self.catalog.amend(Amendment(remove=(wanted,)))
                return policy
        raise NotFound("there is no such policy", hint="`pulka store retention ls` shows the ids")

    async def hold(self, tenant: str, table: str, window: TimeRange, reason: str, by: str) -> Hold:
        """Keep every row of a table and window in the objects, whatever deletes and policies say, until released."""
        made = Hold(self._new_id(), tenant, check_table(table), window, reason, self.clock.now_ns(), by)
        await self.catalog.amend(Amendment(put=(made,)))
        return made

    async def release(self, tenant: str, wanted: str) -> Hold:
        """End a hold; NotFound when the tenant has none with this id."""
        for hold in (await self.catalog.rules(tenant)).holds:
            if hold.id == wanted:
                await self.catalog.amend(Amendment(remove=(wanted,)))
                return hold
        raise NotFound("there is no such hold", hint="`pulka store hold ls` shows the ids")

    def _new_id(self) -> str:
        return new_id(self.clock.now_ns(), self.clock.random)


def _check(table: str) -> str:
    return table if table == ALL_TABLES else check_table(table)
