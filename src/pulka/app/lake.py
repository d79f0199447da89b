"""The lake without its listeners."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from pulka.app.metrics import measure, measure_monitors, measure_queries
from pulka.app.monitors import open_monitors
from pulka.app.options import catalog_url, compaction_settings, object_store, writer_settings
from pulka.app.queries import open_engine, open_tails
from pulka.app.state import fresh_directory, state_lock
from pulka.app.storage import open_cache, open_journal, open_rewriter
from pulka.clock import SystemClock
from pulka.config import Settings
from pulka.intake.ingest import Intake
from pulka.intake.options import IntakeSettings
from pulka.query.conditions import Conditions
from pulka.seams import Clock
from pulka.store.catalog import SqlCatalog
from pulka.store.compaction import Compactor
from pulka.store.deletes import Deletes
from pulka.store.fragments import FragmentObjects
from pulka.store.location import confirm, probe
from pulka.store.retention import Keeping
from pulka.store.writer import Writer
from pulka.surfaces.http.services import Check, HttpSettings, Services
from pulka.telemetry import Registry

__all__ = ["Lake", "open_lake"]


@dataclass(frozen=True, slots=True)
class Lake:
    """A running lake: what the surfaces stand on."""

    settings: Settings
    services: Services
    writer: Writer
    notes: tuple[str, ...]


@contextlib.asynccontextmanager
async def open_lake(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Lake]:
    """Everything but the listeners. Leaving flushes what is buffered."""
    clock = clock or SystemClock()
    metrics = Registry()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(state_lock(settings.state_dir))
        catalog = await SqlCatalog.open(catalog_url(settings), clock)
        stack.push_async_callback(catalog.close)
        store = object_store(settings)
        await probe(store, str(settings["objects_url"]))
        await confirm(store, catalog)
        journal = await open_journal(settings, clock)
        stack.push_async_callback(journal.close)
        cache = await open_cache(settings, store, stack)
        objects = FragmentObjects(store, settings.state_dir / "spool", cache)
        writer = Writer(journal, catalog, objects, clock, writer_settings(settings))
        await writer.start()
        stack.push_async_callback(writer.close)
        compactor = Compactor(catalog, objects, clock, compaction_settings(settings))
        writer.flushed.append(compactor.published)
        compactor.start()
        stack.push_async_callback(compactor.close)
        intake = Intake(journal, clock, _intake_settings(settings), metrics)
        await intake.dedup.recover(catalog, journal)
        stack.push_async_callback(intake.close)
        scratch = fresh_directory(settings.state_dir / "scratch")
        asking = open_engine(settings, catalog, writer, objects, clock, scratch)
        stack.callback(asking.processes.close)
        conditions = Conditions(catalog, writer, memory_bytes=settings["compaction_memory_bytes"], scratch=scratch)
        rewriter = open_rewriter(settings, catalog, objects, conditions, clock)
        rewriter.start()
        stack.push_async_callback(rewriter.close)
        tails = open_tails(settings, catalog, writer, objects, conditions, clock, scratch, journal.partitions, asking.processes)
        writer.taken.append(tails.offer)
        stack.callback(tails.close)
        monitors = open_monitors(settings, catalog, asking.engine, writer, intake, clock)
        monitors.runner.start()
        stack.push_async_callback(monitors.close)
        measure(metrics, writer, compactor, rewriter, cache, tails)
        measure_monitors(metrics, monitors)
        measure_queries(metrics, asking.turns, asking.answers)
        services = Services(
            intake, asking.engine, catalog, clock, fresh=writer,
            deletes=Deletes(catalog, journal, writer, writer.reached, asking.engine, conditions.bind, clock),
            keeping=Keeping(catalog, clock, conditions.bind, settings["retention_s"]), tails=tails, monitors=monitors, queries=asking.queries,
            settings=_http_settings(settings), metrics=metrics, checks=_checks(catalog, writer),
        )  # fmt: skip
        yield Lake(settings, services, writer, tuple(journal.recovered.sentences()))


def _intake_settings(settings: Settings) -> IntakeSettings:
    """Of intake."""
    return IntakeSettings(
        **{name: settings[name] for name in ("body_bytes_max", "inflight_bytes_max", "event_bytes_max", "field_bytes_max")},
        **{name: settings[name] for name in ("columns_max", "dedup_window_s", "dedup_bytes_max")},
        decode_threads=settings.threads,
    )


def _http_settings(settings: Settings) -> HttpSettings:
    """Of the HTTP and gRPC surfaces."""
    return HttpSettings(
        query_rows_max=settings["query_rows"],
        summary_bytes_max=settings["query_memory_bytes"] // 4,
        question_bytes_max=8 * settings["query_text_bytes_max"],  # JSON may write a character in six bytes
        grpc_message_bytes_max=settings["body_bytes_max"],
    )


def _checks(catalog: SqlCatalog, writer: Writer) -> Mapping[str, Check]:
    """What /readyz asks."""

    async def catalog_answers() -> str:
        try:
            await catalog.positions(0)
        except Exception as error:
            return f"the catalog does not answer ({type(error).__name__}); see the log"
        return ""

    async def flushes_work() -> str:
        failing = writer.failing
        return f"{', '.join(failing[:5])} cannot be turned into fragments; the journal keeps the rows, the log has the reason" if failing else ""

    return {"catalog": catalog_answers, "writer": flushes_work}
