"""Wires the lake: the only file that names implementations.

Start order follows the data: catalog, object store, journal (recovery), writer (replay), then intake, engine and the listeners, so
nothing is asked before everything acknowledged is visible again. Stop order is the reverse.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

import uvicorn
from obstore.store import LocalStore, ObjectStore

from pulka.clock import SystemClock
from pulka.config import Settings
from pulka.edge.hindrance import hindrance
from pulka.edge.supervisor import OFF, WATCHING, Supervisor
from pulka.errors import BadInput, Misconfigured
from pulka.intake.ingest import Intake
from pulka.intake.options import IntakeSettings
from pulka.journal.wal import WalJournal
from pulka.model.ids import new_id, partition_of
from pulka.model.windows import TimeRange
from pulka.monitors.ask import Asker
from pulka.monitors.definition import Limits as MonitorLimits
from pulka.monitors.definitions import Definitions
from pulka.monitors.lease import Lease
from pulka.monitors.mail import Mail
from pulka.monitors.outbox import Outbox, Send
from pulka.monitors.runner import Runner
from pulka.monitors.service import Monitors, history_into
from pulka.monitors.webhook import Webhooks
from pulka.query.answers import Answers
from pulka.query.conditions import Conditions
from pulka.query.engine import DataFusionEngine
from pulka.query.queries import Queries
from pulka.query.tails import Filters, Only, Tails, TailSettings
from pulka.query.turns import Turns, TurnSettings
from pulka.seams import Catalog, Clock, Engine, Fragment
from pulka.store.cache import FragmentCache
from pulka.store.catalog import SqlCatalog
from pulka.store.check import Finding, check
from pulka.store.collect import orphans
from pulka.store.compaction import CompactionCounts, CompactionSettings, Compactor
from pulka.store.deletes import Deletes, alike
from pulka.store.download import Downloads
from pulka.store.fragments import FragmentObjects, WriteOptions
from pulka.store.location import Patience, confirm, open_store, probe
from pulka.store.merge import Merger
from pulka.store.plan import Merge, by_span, plan, urgency
from pulka.store.repair import Repaired, repair
from pulka.store.retention import Keeping
from pulka.store.rewrite import Rewriter
from pulka.store.turns import in_turn
from pulka.store.writer import Writer, WriterSettings
from pulka.surfaces.http.app import create_app
from pulka.surfaces.http.listener import listen
from pulka.surfaces.http.otlp_grpc import create_grpc_server
from pulka.surfaces.http.services import Check, HttpSettings, Services
from pulka.telemetry import Registry

__all__ = [
    "Announce", "Lake", "Offline", "compact", "compaction_plan", "delete_orphans", "offline", "open_lake", "probe_objects", "repair_catalog",
    "run", "serve", "serve_socket", "state_lock", "why_no_edge",
]  # fmt: skip

Announce = Callable[[dict[str, str], list[str]], None]
log = logging.getLogger("pulka")


_BUSY = "stop that one, or give this one a directory of its own with --state-dir"


@contextlib.contextmanager
def state_lock(directory: Path, hint: str = _BUSY) -> Iterator[None]:
    """Hold the state directory for one process; Misconfigured names the process that has it, and `hint` what to do then."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / "lock").open("a+")
    except OSError as error:
        raise Misconfigured(f"{directory} cannot be used: {error.strerror}", hint="name another with --state-dir") from error
    with file:
        _take(file, directory, hint)
        yield


def _take(file: IO[str], directory: Path, hint: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        raise Misconfigured(f"{directory} is in use by another Pulka (process {owner})", hint=hint) from None
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()


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
        catalog = await SqlCatalog.open(_catalog_url(settings), clock)
        stack.push_async_callback(catalog.close)
        store = _store(settings)
        await probe(store, str(settings["objects_url"]))
        await confirm(store, catalog)
        journal = await WalJournal.open(
            settings.state_dir / "journal",
            clock=clock,
            partitions=settings["journal_partitions"],
            commit_delay_ms=settings["journal_commit_delay_ms"],
            segment_bytes=settings["journal_segment_bytes"],
            bytes_max=settings["journal_bytes_max"],
            backlog_bytes_max=settings["journal_backlog_bytes_max"],
        )
        stack.push_async_callback(journal.close)
        cache = await _cache(settings, store, stack)
        objects = FragmentObjects(store, settings.state_dir / "spool", cache)
        writer = Writer(journal, catalog, objects, clock, _writer_settings(settings))
        await writer.start()
        stack.push_async_callback(writer.close)
        compactor = Compactor(catalog, objects, clock, _compaction_settings(settings))
        writer.flushed.append(compactor.published)
        compactor.start()
        stack.push_async_callback(compactor.close)
        intake = Intake(journal, clock, _intake_settings(settings), metrics)
        await intake.dedup.recover(catalog, journal)
        stack.push_async_callback(intake.close)
        scratch = _fresh_directory(settings.state_dir / "scratch")
        turns, queries, answers = Turns(clock, _turn_settings(settings)), Queries(), Answers(settings["query_cache_bytes_max"])
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
        )
        conditions = Conditions(catalog, writer, memory_bytes=settings["compaction_memory_bytes"], scratch=scratch)
        rewriter = _rewriter(settings, catalog, objects, conditions, clock)
        rewriter.start()
        stack.push_async_callback(rewriter.close)
        tails = _tails(settings, catalog, writer, objects, conditions, clock, scratch, journal.partitions)
        writer.taken.append(tails.offer)
        stack.callback(tails.close)
        monitors = _monitors(settings, catalog, engine, writer, intake, clock)
        monitors.runner.start()
        stack.push_async_callback(monitors.close)
        _measure(metrics, writer, compactor, rewriter, cache, tails)
        _measure_monitors(metrics, monitors)
        _measure_queries(metrics, turns, answers)
        services = Services(
            intake, engine, catalog, clock, fresh=writer,
            deletes=Deletes(catalog, journal, writer, writer.reached, engine, conditions.bind, clock),
            keeping=Keeping(catalog, clock, conditions.bind, settings["retention_s"]), tails=tails, monitors=monitors, queries=queries,
            settings=_http_settings(settings), metrics=metrics, checks=_checks(catalog, writer),
        )  # fmt: skip
        yield Lake(settings, services, writer, tuple(journal.recovered.sentences()))


def run(settings: Settings, announce: Announce) -> None:
    """Run a lake with its listeners until SIGINT or SIGTERM."""
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(serve(settings, announce))


def _loop() -> asyncio.AbstractEventLoop:
    """uvloop where it exists: half the CPU per request of the standard loop."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def serve(settings: Settings, announce: Announce) -> None:
    """`run` within a loop."""
    logging.basicConfig(level=str(settings["log_level"]).upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    why_not = why_no_edge(settings)
    with contextlib.ExitStack() as sockets:
        bound, notes = _bind_all(settings, sockets)
        async with open_lake(settings) as lake:
            if why_not and settings["edge_enabled"] != "off":
                notes = [*notes, f"the edge is off: {why_not}"]
            await _listen(lake, bound, [*notes, *lake.notes], announce, why_not)


async def serve_socket(settings: Settings, path: str, ready: Callable[[], None], stop: asyncio.Event) -> None:
    """A lake whose HTTP API listens on a Unix socket only, until `stop`; for one inside another program, whose signals are its own."""
    async with open_lake(settings) as lake:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.bind(path)
            sock.listen(128)
            http = _Server(_uvicorn_config(lake.services))
            serving = asyncio.create_task(http.serve(sockets=[sock]))
            ready()
            await stop.wait()
            if lake.services.tails:
                lake.services.tails.close()
            http.should_exit = True
            await serving


async def _listen(lake: Lake, bound: Mapping[str, socket.socket], notes: list[str], announce: Announce, why_not: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    http = _Server(_uvicorn_config(lake.services))
    serving = asyncio.create_task(http.serve(sockets=[bound[name] for name in ("http", "otlp_http") if name in bound]))
    addresses = {name: _url(name, sock) for name, sock in bound.items()}
    async with contextlib.AsyncExitStack() as stack:
        if lake.settings["otlp_grpc_listen"] != "off":
            await _listen_grpc(lake, stack, addresses, notes)
        announce(addresses, notes)
        edge = _edge(lake, addresses["http"], why_not)
        await stop.wait()
        await edge.close()  # what it has not sent yet is still taken
        if lake.services.tails:
            lake.services.tails.close()
        http.should_exit = True
        await serving


def why_no_edge(settings: Settings) -> str:
    """Empty when the agent of this host is to run. Misconfigured when it must and may not."""
    wanted = settings["edge_enabled"]
    if wanted not in ("auto", "on", "off"):
        raise Misconfigured(f"`edge_enabled` is `{wanted}`", hint="set it to auto, on or off")
    why = "edge_enabled is off" if wanted == "off" else hindrance()
    if why and wanted == "on":
        raise Misconfigured(f"edge_enabled is `on`, and the agent cannot start: {why}", hint="`pulka edge doctor` says more; `auto` starts it only where it may")
    return why


def _edge(lake: Lake, url: str, why_not: str) -> Supervisor:
    """The agent, in a process of its own that sends to this lake; one that was not started when there is a reason."""
    settings = {one.parameter.env: str(one.value) for one in lake.settings if one.parameter.name.startswith(("edge_", "log_"))}
    own = {"PULKA_EDGE_OTLP_URL": _reachable(url), "PULKA_STATE_DIR": str(lake.settings.state_dir)}
    command = [sys.executable, "-m", "pulka", "edge", "run", "--managed"]
    edge = Supervisor(command, {**os.environ, **settings, **own}, lake.services.clock)
    lake.services.beside["edge"] = (lambda: {"state": OFF, "reason": why_not}) if why_not else (lambda: edge.told)
    lake.services.metrics.gauge("pulka_edge_watching", "1 while the agent watches this host", lambda: float(edge.told["state"] == WATCHING))
    lake.services.metrics.gauge("pulka_edge_restarts", "Times the agent was started again", lambda: edge.restarts)
    if not why_not:
        edge.start()
    return edge


def _reachable(url: str) -> str:
    """An address to connect to: what listens on all of them listens on this machine's own."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


async def _listen_grpc(lake: Lake, stack: contextlib.AsyncExitStack, addresses: dict[str, str], notes: list[str]) -> None:
    address = str(lake.settings["otlp_grpc_listen"])
    try:
        server, port = create_grpc_server(lake.services, address)
    except Misconfigured:
        notes += _taken("otlp_grpc_listen", address, lake.settings)
        return
    await server.start()
    stack.push_async_callback(server.stop, 5)
    addresses["otlp_grpc"] = f"{address.rpartition(':')[0]}:{port}"


def _uvicorn_config(services: Services) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(services), http="httptools", log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=10
    )  # fmt: skip


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: `serve` stops it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind_all(settings: Settings, stack: contextlib.ExitStack) -> tuple[dict[str, socket.socket], list[str]]:
    bound = {"http": stack.enter_context(_bind("http_listen", str(settings["http_listen"])))}
    address = str(settings["otlp_http_listen"])
    if address == "off":
        return bound, []
    try:
        bound["otlp_http"] = stack.enter_context(_bind("otlp_http_listen", address))
    except Misconfigured:
        return bound, _taken("otlp_http_listen", address, settings)
    return bound, []


def _taken(name: str, address: str, settings: Settings) -> list[str]:
    """A default address that another program has is a note; one the user asked for is an error."""
    sentence = f"{name}: {address} is taken by another program"
    if settings.origin(name) != "default":
        raise Misconfigured(sentence, hint=f"stop that program, or set {name} to another address or `off`")
    return [f"{sentence}; OTLP over HTTP is still taken at the HTTP address"]


def _bind(name: str, address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise Misconfigured(f"`{name}` is `{address}`", hint="it needs the form HOST:PORT")
    return listen(host.strip("[]"), int(port))


def _url(name: str, sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


@dataclass(frozen=True, slots=True)
class Offline:
    """The store without intake: for looking and checking beside a running lake."""

    catalog: SqlCatalog
    settings: Settings

    def path(self, fragment: Fragment) -> str:
        """Where a fragment's file is: a path or a URL."""
        return f"{str(self.settings['objects_url']).rstrip('/') or self.settings.state_dir / 'objects'}/{fragment.key}"

    def check(self, *, verify: bool) -> AsyncIterator[Finding]:
        """What is wrong in the store, if anything; `verify` reads every page."""
        return check(self.catalog, _store(self.settings), _offline_objects(self.settings), SystemClock(), verify=verify)


@contextlib.asynccontextmanager
async def offline(settings: Settings) -> AsyncIterator[Offline]:
    """Open the catalog of a state directory; Misconfigured when there is none."""
    if not settings.state_dir.exists():
        raise Misconfigured(f"{settings.state_dir} does not exist", hint="start Pulka once, or name its directory with --state-dir")
    catalog = await SqlCatalog.open(_catalog_url(settings), SystemClock())
    try:
        yield Offline(catalog, settings)
    finally:
        await catalog.close()


async def repair_catalog(settings: Settings) -> Repaired:
    """Fill an empty catalog from the footers of all fragments."""
    with state_lock(settings.state_dir):
        async with offline(settings) as lake:
            return await repair(lake.catalog, _store(settings), _offline_objects(settings))


async def delete_orphans(settings: Settings) -> AsyncIterator[str]:
    """Delete the objects no catalog entry mentions; yields their keys."""
    with state_lock(settings.state_dir):
        async with offline(settings) as lake:
            if not await lake.catalog.fragments():
                raise Misconfigured("the catalog is empty, so every object would go", hint="fill it first: `pulka store repair`")
            objects = _offline_objects(settings)
            async for key in orphans(lake.catalog, _store(settings), SystemClock(), grace_s=0):
                await objects.delete([key])
                yield key


async def compaction_plan(settings: Settings) -> list[Merge]:
    """What a compactor would merge now, in its order."""
    async with offline(settings) as lake:
        limits = _compaction_settings(settings)
        merges: list[Merge] = []
        for tenant in await lake.catalog.tenants():
            for table in await lake.catalog.tables(tenant):
                found = await lake.catalog.snapshot(tenant, table, TimeRange())
                groups = (group for members in by_span(found.fragments).values() for group in alike(members, found.deletes))
                merges += (merge for group in groups for merge in plan(group, SystemClock().now_ns(), limits))
        return list(in_turn(sorted(merges, key=urgency), limits.turn_bytes))


async def compact(settings: Settings) -> AsyncIterator[CompactionCounts]:
    """Merge until nothing is left to merge; yields what was done so far after each merge."""
    busy = "that one merges by itself; stop it first, or only look: `pulka store compact --plan`"
    with state_lock(settings.state_dir, busy):
        async with offline(settings) as lake:
            objects = _offline_objects(settings)
            await asyncio.to_thread(objects.prepare)
            compactor = Compactor(lake.catalog, objects, SystemClock(), _compaction_settings(settings))
            async for _ in compactor.run_to_the_end():
                yield compactor.counts


async def probe_objects(settings: Settings) -> None:
    """Raise what stands between this machine and its object store."""
    await probe(_store(settings), str(settings["objects_url"]))


def _offline_objects(settings: Settings) -> FragmentObjects:
    """With a spool of its own: a lake that runs beside empties and uses the other."""
    return FragmentObjects(_store(settings), settings.state_dir / "spool-offline")


def _fresh_directory(path: Path) -> Path:
    """An empty directory; a killed process may have left files."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _catalog_url(settings: Settings) -> str:
    return str(settings["catalog_url"]) or f"sqlite:///{settings.state_dir / 'catalog.sqlite'}"


def _store(settings: Settings) -> ObjectStore:
    patience = Patience(settings["objects_timeout_s"], settings["objects_retry_s"])
    return open_store(str(settings["objects_url"]), settings.state_dir / "objects", patience)


async def _cache(settings: Settings, store: ObjectStore, stack: contextlib.AsyncExitStack) -> FragmentCache | None:
    """Copies of a remote store's fragments; a local store is read in place."""
    if isinstance(store, LocalStore):
        return None
    downloads = Downloads(store, settings["objects_concurrency"])
    cache = FragmentCache(settings.state_dir / "cache", settings["cache_bytes_max"], downloads)
    await asyncio.to_thread(cache.prepare)
    stack.push_async_callback(cache.close)
    return cache


def _intake_settings(settings: Settings) -> IntakeSettings:
    return IntakeSettings(
        **{name: settings[name] for name in ("body_bytes_max", "inflight_bytes_max", "event_bytes_max", "field_bytes_max")},
        **{name: settings[name] for name in ("columns_max", "dedup_window_s", "dedup_bytes_max")},
        decode_threads=settings.threads,
    )


def _write_options(settings: Settings, zstd_level: int) -> WriteOptions:
    return WriteOptions(settings["row_group_bytes"], zstd_level, settings["columns_max"])


def _writer_settings(settings: Settings) -> WriterSettings:
    return WriterSettings(
        **{name: settings[name] for name in ("flush_bytes", "flush_age_s", "buffer_bytes_max", "dedup_window_s")},
        buffer_bytes_hard=settings["buffer_bytes_max"] * 3 // 2,
        window_ns=settings["window_s"] * 1_000_000_000,
        tick_s=min(0.5, settings["flush_age_s"] / 4),
        write=_write_options(settings, settings["first_zstd_level"]),
    )


def _rewriter(settings: Settings, catalog: SqlCatalog, objects: FragmentObjects, conditions: Conditions, clock: Clock) -> Rewriter:
    write = _write_options(settings, settings["zstd_level"])
    merger = Merger(catalog, objects, clock, write, settings["compaction_memory_bytes"])
    return Rewriter(
        catalog, merger, conditions.matching, clock, default_s=settings["retention_s"], interval_s=settings["rewrite_interval_s"]
    )  # fmt: skip


def _turn_settings(settings: Settings) -> TurnSettings:
    return TurnSettings(
        settings["query_concurrency"], settings["query_tenant_concurrency"], settings["query_tenant_memory_bytes"], settings["query_waiting_max"],
        settings["query_wait_s"],
    )  # fmt: skip


def _tails(
    settings: Settings, catalog: SqlCatalog, writer: Writer, objects: FragmentObjects, conditions: Conditions, clock: Clock, scratch: Path, partitions: int
) -> Tails:  # fmt: skip
    def engine_over(catalog: Only, fresh: Only) -> Engine:
        """One thread, so that rows keep their order; a tail counts all rows it finds."""
        return DataFusionEngine(
            cast(Catalog, catalog), fresh, objects, clock=clock, memory_bytes=settings["query_memory_bytes"], time_s=settings["query_time_s"], rows=1 << 62,
            threads=1, scratch=scratch, retention_s=settings["retention_s"], turns=turns,
        )  # fmt: skip

    # Their queries are short, and wait rather than fail: a tail that failed would be gone.
    turns = Turns(clock, TurnSettings(waiting_max=1 << 20, wait_s=settings["query_time_s"]))

    names = ("buffer_bytes_max", "rows_per_s", "subscribers_max", "heartbeat_s")
    limits = TailSettings(**{name: settings[f"tail_{name}"] for name in names})
    filters = Filters(catalog, writer, conditions, engine_over, clock)
    return Tails(filters, catalog, writer, clock, lambda tenant: partition_of(tenant, partitions), limits)


def _monitors(settings: Settings, catalog: SqlCatalog, engine: Engine, writer: Writer, intake: Intake, clock: Clock) -> Monitors:
    limits = MonitorLimits(settings["monitor_interval_min_s"], settings["monitor_groups_max"], settings["monitors_max"])
    webhooks = Webhooks(clock, settings["notify_timeout_s"])
    senders: dict[str, Send] = {"history": history_into(intake), "webhook": webhooks.send, "email": _no_mail}
    if settings["smtp_url"]:
        senders["email"] = Mail(settings["smtp_url"], settings["smtp_from"], settings["notify_timeout_s"]).send
    definitions = Definitions(catalog, clock, limits, has_mail=bool(settings["smtp_url"]))
    asker = Asker(engine, catalog, writer, definitions)
    outbox = Outbox(catalog, clock, senders, settings["notify_retry_s"])
    lease = Lease(catalog, clock, new_id(clock.now_ns(), clock.random), settings["monitor_lease_s"])
    runner = Runner(catalog, asker, outbox, lease, clock, groups_max=limits.groups_max)
    return Monitors(definitions, asker, runner, outbox, catalog, clock, [webhooks.close])


async def _no_mail(tenant: str, entry: object) -> None:
    raise BadInput("this server sends no e-mail: smtp_url is not set")


def _measure_monitors(metrics: Registry, monitors: Monitors) -> None:
    for name in ("evaluations", "changes", "failures", "conflicts"):
        metrics.gauge(f"pulka_monitors_{name}", f"Monitor {name} since the start", partial(getattr, monitors.runner.counts, name))
    for name in ("sent", "retries", "failed"):
        metrics.gauge(f"pulka_notifications_{name}", f"Notifications and history: {name} since the start", partial(getattr, monitors.outbox.counts, name))


def _measure_queries(metrics: Registry, turns: Turns, answers: Answers) -> None:
    metrics.gauge("pulka_queries_running", "Queries that run now", lambda: turns.running)
    metrics.gauge("pulka_queries_waiting", "Queries that wait for their turn", lambda: turns.waiting)
    metrics.gauge("pulka_query_cache_bytes", "Memory of answers that are kept", lambda: answers.bytes)
    metrics.gauge("pulka_query_cache_hits", "Queries answered from those since the start", lambda: answers.hits)


def _compaction_settings(settings: Settings) -> CompactionSettings:
    return CompactionSettings(
        fragments_per_class=settings["compaction_inputs"],
        inputs_max=settings["compaction_inputs_max"],
        memory_bytes=settings["compaction_memory_bytes"],
        cpu_share=min(1.0, settings["compaction_cpu_share"]),
        # The inputs of a merge are leased at once, and the cache of a remote store must hold them.
        input_bytes_max=min(settings["compaction_bytes_max"], settings["cache_bytes_max"]),
        closed_after_s=settings["compaction_idle_s"],
        fold_bytes=settings["compaction_fold_bytes"],
        locality_rows=settings["locality_rows"],
        interval_s=min(5.0, max(0.1, settings["compaction_idle_s"])),
        retired_grace_s=settings["collect_grace_s"],
        write=_write_options(settings, settings["zstd_level"]),
    )


def _http_settings(settings: Settings) -> HttpSettings:
    return HttpSettings(
        query_rows_max=settings["query_rows"],
        summary_bytes_max=settings["query_memory_bytes"] // 4,
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


def _measure(
    metrics: Registry, writer: Writer, compactor: Compactor, rewriter: Rewriter, cache: FragmentCache | None, tails: Tails
) -> None:  # fmt: skip
    """What the stages count, at /metrics."""
    gauge = metrics.gauge
    gauge("pulka_writer_buffered_bytes", "Arrow bytes that are not in a fragment yet", lambda: writer.buffered_bytes)
    for name in ("flushes", "fragments", "rows", "bytes", "failures", "conflicts"):
        gauge(f"pulka_writer_{name}", f"Writer {name} since the start", partial(getattr, writer.counts, name))
    gauge("pulka_tail_subscribers", "Live tails at this moment", lambda: tails.subscribers)
    gauge("pulka_tail_dropped_rows", "Rows that live tails did not show, since the start", lambda: tails.dropped_rows)
    gauge("pulka_compaction_pending", "Days of a table with something to merge, now or once a window has ended", lambda: compactor.pending)
    for name in ("merges", "rows", "bytes_read", "bytes_written", "failures", "conflicts", "collected"):
        gauge(f"pulka_compaction_{name}", f"Compaction {name} since the start", partial(getattr, compactor.counts, name))
    for name in ("rewrites", "retired", "rows_removed", "deletes_done", "failures", "conflicts"):
        gauge(f"pulka_removal_{name}", f"Removal {name} since the start", partial(getattr, rewriter.counts, name))
    gauge("pulka_compaction_busy_seconds", "Time spent in merges since the start", lambda: compactor.counts.busy_s)
    gauge("pulka_write_amplification", "Bytes written by flushes and merges per byte flushed", partial(_amplification, writer, compactor))
    for name in ("merges", "fragments", "bytes"):
        read = partial(_backlog, compactor, name)
        metrics.gauges(f"pulka_compaction_backlog_{name}", f"Due now: {name} to merge, by stage", read, "stage")
    if cache is not None:
        gauge("pulka_cache_bytes", "Bytes of the copies in the fragment cache", lambda: cache.bytes)
        gauge("pulka_cache_pinned_bytes", "Bytes of the copies that queries and merges read now", lambda: cache.pinned_bytes)
        for name in ("hits", "misses", "evictions", "fetched_bytes"):
            gauge(f"pulka_cache_{name}", f"Fragment cache {name} since the start", partial(getattr, cache.counts, name))


def _amplification(writer: Writer, compactor: Compactor) -> float:
    return 1 + compactor.counts.bytes_written / max(1, writer.counts.bytes)


def _backlog(compactor: Compactor, name: str) -> dict[tuple[str, ...], float]:
    return {(stage,): getattr(entry, name) for stage, entry in compactor.backlog().items()}
