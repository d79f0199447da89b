"""From SQL to what it reads: planned over empty tables, pruned, then leased as local files and searched."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from pulka.errors import TooLarge
from pulka.query import shapes
from pulka.query.apart import grows
from pulka.query.binding import Prepared
from pulka.query.count_scan import count_rows
from pulka.query.names import check_select
from pulka.query.plan import Use
from pulka.query.planning import prepare
from pulka.query.prune import prune
from pulka.query.query import Query
from pulka.query.removal import Hidden
from pulka.query.schema import LogicalTable, logical_tables
from pulka.query.search_scan import Found, search
from pulka.query.source import Source, fresh_within
from pulka.seams import Catalog, Clock, Fragment, FragmentFiles, Fresh

__all__ = ["Reading", "planned"]

_PLANS_MAX = 5
T = TypeVar("T")


class Reading:
    """What a query reads: of `catalog`, `fresh` and `files`, never more than `search_bytes` by searching."""

    def __init__(
        self, catalog: Catalog, fresh: Fresh, files: FragmentFiles, clock: Clock, *, search_bytes: int, text_bytes: int, retention_s: int,
        gives_way: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._catalog, self._fresh, self._files, self._clock = catalog, fresh, files, clock
        self._search_bytes, self._text_bytes, self._retention_s = search_bytes, text_bytes, retention_s
        self._gives_way = gives_way

    async def prepare(self, query: Query, sql: str) -> tuple[Prepared, list[Source]]:
        """The plan of a SELECT, and what pruning leaves of its tables."""
        if len(sql.encode(errors="replace")) > self._text_bytes:
            raise TooLarge(f"the query is larger than {self._text_bytes} bytes", hint="put the values it lists in a table, or raise query_text_bytes_max")
        statement = check_select(sql)
        await self.look_up(query)
        prepared = await query.timed("plan", self._plan(query, statement))
        sources = await query.timed("prune", self._sources(query, prepared))
        return prepared, sources

    async def look_up(self, query: Query) -> Mapping[str, LogicalTable]:
        """The tenant's tables as they are now."""
        # In this order: what is published in between is known from the first, and the other way round from neither.
        fresh = self._fresh.fresh_fields(query.tenant)
        query.known = logical_tables(await query.deadline.of(self._catalog.tables(query.tenant)), fresh)
        return query.known

    async def fetch(self, query: Query, sources: Sequence[Source]) -> None:
        """Local files of all fragments, and what a search finds in them."""
        await query.timed("fetch", self._lease(query, [one for source in sources for one in source.fragments]))
        await query.timed("search", self._search(query, sources))

    async def _plan(self, query: Query, statement: str) -> Prepared:
        arguments = (statement, query.known, query.window, self._clock.now_ns())
        if grows(statement):
            apart = await query.own_process(gives_way=self._gives_way(query.tenant))
            prepared: Prepared = await apart.ask("prepare", *arguments)
            return prepared
        return await asyncio.to_thread(prepare, query.session, *arguments)

    async def _sources(self, query: Query, prepared: Prepared) -> list[Source]:
        return [await self._source(query, use) for use in prepared.uses.values()]

    async def _source(self, query: Query, use: Use) -> Source:
        """Fresh batches first, then the snapshot: what is published in between is in both, and dropped from the first."""
        window = use.window(query.window)
        fresh = self._fresh.fresh(query.tenant, use.table.name)
        snapshot = await self._catalog.snapshot(query.tenant, use.table.name, window)
        batches = [(at, b) for at, b in fresh if at.sequence > snapshot.positions.get(at.partition, 0) and b.num_rows]
        hidden = Hidden.of(snapshot, use.table.name, self._retention_s, self._clock.now_ns())
        alive = [fragment for fragment in snapshot.fragments if not hidden.takes_all(fragment)]
        kept, pruned = await asyncio.to_thread(prune, use.predicate(), alive, use.table)
        pruned["time"] += snapshot.pruned_by_time
        if expired := len(snapshot.fragments) - len(alive):
            pruned["retention"] = expired
        return Source(use, window, sorted(kept, key=lambda one: -one.max_ns), fresh_within(batches, window), pruned, hidden)

    async def _lease(self, query: Query, fragments: list[Fragment]) -> None:
        """Bound to the deadline: it also ends for a result nobody reads."""
        lease = await self._files.lease(fragments)
        query.paths = {**query.paths, **lease.paths}
        query.deadline.at_end(lambda: lease.release(query.unreadable))

    async def _search(self, query: Query, sources: Sequence[Source]) -> None:
        for source in sources:
            # What is deleted is found by fields that a search does not read: those fragments are scanned.
            whole = [one for one in source.fragments if not source.hidden.in_fragment(one)]
            source.found = await self._found(query, source, {str(query.paths[one.id].absolute()): one for one in whole})

    async def _found(self, query: Query, source: Source, files: Mapping[str, Fragment]) -> Found | None:
        """What is counted where a count is all that is asked for; else what a search finds."""
        use, bytes_max = source.use, query.bounds.memory_bytes // 4
        if use.counted is not None and self._search_bytes and files:
            found = await count_rows(use, use.counted, source.window, files, bytes_max=bytes_max, threads=query.threads)
            if not found.given_up:
                return found
        return await search(use, source.window, files, bytes_max=min(self._search_bytes, bytes_max), threads=query.threads)


async def planned(plan: Callable[[], Awaitable[T]]) -> T:
    """What `plan` makes; it is asked again when events with a new type of some field came in between."""
    for left in reversed(range(_PLANS_MAX)):
        try:
            return await plan()
        except shapes.Outgrown:
            if not left:
                raise
    raise AssertionError("unreachable")
