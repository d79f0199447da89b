"""Wires what answers: the engine with its turns and kept answers, and live tails over engines of their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pulka.config import Settings
from pulka.model.ids import partition_of
from pulka.query.answers import Answers
from pulka.query.apart import Processes
from pulka.query.conditions import Conditions
from pulka.query.engine import DataFusionEngine
from pulka.query.queries import Queries
from pulka.query.tails import Filters, Only, Tails, TailSettings
from pulka.query.turns import Turns, TurnSettings
from pulka.seams import Catalog, Clock, Engine
from pulka.store.catalog import SqlCatalog
from pulka.store.fragments import FragmentObjects
from pulka.store.writer import Writer

__all__ = ["Asking", "open_engine", "open_tails"]


@dataclass(frozen=True, slots=True)
class Asking:
    """The engine, and what is told of its queries."""

    engine: DataFusionEngine
    turns: Turns
    queries: Queries
    answers: Answers
    processes: Processes


def open_engine(settings: Settings, catalog: SqlCatalog, writer: Writer, objects: FragmentObjects, clock: Clock, scratch: Path) -> Asking:
    """Over what is published and what the writer still holds."""
    turns, queries, answers = Turns(clock, _turn_settings(settings)), Queries(), Answers(settings["query_cache_bytes_max"])
    processes = Processes()
    engine = DataFusionEngine(
        catalog,
        writer,
        objects,
        clock=clock,
        memory_bytes=settings["query_memory_bytes"],
        time_s=settings["query_time_s"],
        rows=settings["query_rows"],
        search_bytes=settings["search_bytes_max"],
        threads=settings.threads,
        scratch=scratch,
        retention_s=settings["retention_s"],
        text_bytes=settings["query_text_bytes_max"],
        apart_bytes=settings["query_apart_bytes"],
        turns=turns,
        queries=queries,
        answers=answers,
        processes=processes,
    )
    return Asking(engine, turns, queries, answers, processes)


def open_tails(
    settings: Settings, catalog: SqlCatalog, writer: Writer, objects: FragmentObjects, conditions: Conditions, clock: Clock, scratch: Path, partitions: int,
    processes: Processes,
) -> Tails:  # fmt: skip
    """Live tails, each batch of which is asked about like a small lake."""

    def engine_over(catalog: Only, fresh: Only) -> Engine:
        """One thread, so that rows keep their order; a tail counts all rows it finds."""
        return DataFusionEngine(
            cast(Catalog, catalog), fresh, objects, clock=clock, memory_bytes=settings["query_memory_bytes"], time_s=settings["query_time_s"], rows=1 << 62,
            threads=1, scratch=scratch, retention_s=settings["retention_s"], turns=turns, processes=processes,
        )  # fmt: skip

    # Their queries are short, and wait rather than fail: a tail that failed would be gone.
    turns = Turns(clock, TurnSettings(waiting_max=1 << 20, wait_s=settings["query_time_s"]))

    names = ("buffer_bytes_max", "rows_per_s", "subscribers_max", "heartbeat_s")
    limits = TailSettings(**{name: settings[f"tail_{name}"] for name in names})
    filters = Filters(catalog, writer, conditions, engine_over, clock)
    return Tails(filters, catalog, writer, clock, lambda tenant: partition_of(tenant, partitions), limits)


def _turn_settings(settings: Settings) -> TurnSettings:
    """Of queries that run at once."""
    return TurnSettings(
        settings["query_concurrency"], settings["query_tenant_concurrency"], settings["query_tenant_memory_bytes"], settings["query_waiting_max"],
        settings["query_wait_s"],
    )  # fmt: skip
