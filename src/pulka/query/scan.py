"""All fields of the rows that meet a condition, as they are stored: what a comparison reads in one pass."""

from collections.abc import AsyncGenerator, Sequence

from pulka.query.binding import Prepared, scans
from pulka.query.execution import run, watched
from pulka.query.flagged import Flagged, flagged, marked, pieces
from pulka.query.limits import unbounded
from pulka.query.query import Query
from pulka.query.reading import Reading, planned
from pulka.query.source import Source
from pulka.query.statistics import count, plan_to_read
from pulka.seams import Scanned

__all__ = ["scan"]


async def scan(query: Query, reading: Reading, table: str, conditions: Sequence[str]) -> AsyncGenerator[Scanned, None]:
    """The rows of which any condition is true, with a flag for each."""
    for chosen in await planned(lambda: _chosen(query, reading, marked(table, conditions))):
        running = await query.deadline.of(run(query, chosen.frame))
        with watched(query, running):
            async for batch in unbounded(running, query.deadline, query.translate):
                query.stats.rows += batch.num_rows
                query.progress.rows = query.stats.rows
                yield chosen.scanned(batch)


async def _chosen(query: Query, reading: Reading, sql: str) -> list[Flagged]:
    """The scans that answer `marked` conditions."""
    prepared, sources = await reading.prepare(query, sql)
    plan_to_read(query.progress, sources)
    for source in sources:
        source.use.columns.update(source.use.table.fields)  # every field is shown
    await reading.fetch(query, sources)
    frames: list[Flagged] = await query.deadline.of(query.in_thread(lambda: _frames(query, prepared, sources)))
    count(query.stats, sources)
    return frames


def _frames(query: Query, prepared: Prepared, sources: Sequence[Source]) -> list[Flagged]:
    session, conditions = query.session(), pieces(prepared.sql)
    return [
        flagged(frame, shape, source.use.table, conditions)
        for source in sources
        for shape, frame in scans(session, source, query.place(), frozenset(source.use.table.fields))
    ]
