"""Wires the lake: the only file that names implementations.

Start order follows the data: catalog, journal (recovery), writer (replay), then intake, engine and the listeners, so
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
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import uvicorn
from obstore.store import LocalStore

from pulka.clock import SystemClock
from pulka.config import Settings
from pulka.errors import Misconfigured
from pulka.intake.ingest import Intake
from pulka.intake.options import IntakeSettings
from pulka.journal.wal import WalJournal
from pulka.query.engine import DataFusionEngine
from pulka.seams import Clock, Fragment
from pulka.store.catalog import SqlCatalog
from pulka.store.check import Finding, check
from pulka.store.collect import orphans
from pulka.store.compaction import CompactionSettings, Compactor
from pulka.store.fragments import FragmentObjects, WriteOptions
from pulka.store.repair import Repaired, repair
from pulka.store.writer import Writer, WriterSettings
from pulka.surfaces.http.app import create_app
from pulka.surfaces.http.listener import listen
from pulka.surfaces.http.otlp_grpc import create_grpc_server
from pulka.surfaces.http.services import HttpSettings, Services
from pulka.telemetry import Registry

__all__ = ["Announce", "Lake", "Offline", "delete_orphans", "offline", "open_lake", "repair_catalog", "run", "serve", "state_lock"]

Announce = Callable[[dict[str, str], list[str]], None]
log = logging.getLogger("pulka")


@contextlib.contextmanager
def state_lock(directory: Path) -> Iterator[None]:
    """Hold the state directory for one process; Misconfigured names the process that has it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / "lock").open("a+")
    except OSError as error:
        raise Misconfigured(f"{directory} cannot be used: {error.strerror}", hint="name another with --state-dir") from error
    with file:
        _take(file, directory)
        yield


def _take(file: IO[str], directory: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        raise Misconfigured(
            f"{directory} is in use by another Pulka (process {owner})",
            hint="stop that one, or give this one a directory of its own with --state-dir",
        ) from None
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
        objects = _fragment_objects(settings)
        writer = Writer(journal, catalog, objects, clock, _writer_settings(settings))
        await writer.start()
        stack.push_async_callback(writer.close)
        compactor = Compactor(catalog, objects, clock, _compaction_settings(settings))
        writer.flushed.append(compactor.published)
        compactor.start()
        stack.push_async_callback(compactor.close)
        _measure(metrics, writer, compactor)
        intake = Intake(journal, clock, _intake_settings(settings), metrics)
        await intake.dedup.recover(catalog, journal)
        stack.push_async_callback(intake.close)
        engine = DataFusionEngine(
            catalog,
            writer,
            lambda fragment: _path(settings, fragment),
            clock=clock,
            memory_bytes=settings["query_memory_bytes"],
            time_s=settings["query_time_s"],
            rows=settings["query_rows"],
            search_bytes=settings["search_bytes_max"],
            threads=settings.threads,
            scratch=_fresh_directory(settings.state_dir / "scratch"),
        )
        services = Services(intake, engine, catalog, clock, fresh=writer, settings=_http_settings(settings), metrics=metrics)
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
    with contextlib.ExitStack() as sockets:
        bound, notes = _bind_all(settings, sockets)
        async with open_lake(settings) as lake:
            await _listen(lake, bound, [*notes, *lake.notes], announce)


async def _listen(lake: Lake, bound: Mapping[str, socket.socket], notes: list[str], announce: Announce) -> None:
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
        await stop.wait()
        http.should_exit = True
        await serving


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
        """Where a fragment's file is."""
        return _path(self.settings, fragment)

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


def _offline_objects(settings: Settings) -> FragmentObjects:
    """With a spool of its own: a lake that runs beside empties and uses the other."""
    return _fragment_objects(settings, "spool-offline")


def _fresh_directory(path: Path) -> Path:
    """An empty directory; a killed process may have left files."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _catalog_url(settings: Settings) -> str:
    return str(settings["catalog_url"]) or f"sqlite:///{settings.state_dir / 'catalog.sqlite'}"


def _store(settings: Settings) -> LocalStore:
    return LocalStore(str(settings.state_dir / "objects"), mkdir=True)


def _fragment_objects(settings: Settings, spool: str = "spool") -> FragmentObjects:
    return FragmentObjects(_store(settings), settings.state_dir / spool)


def _path(settings: Settings, fragment: Fragment) -> str:
    return str(settings.state_dir / "objects" / fragment.key)


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


def _compaction_settings(settings: Settings) -> CompactionSettings:
    return CompactionSettings(
        fragments_per_class=settings["compaction_inputs"],
        inputs_max=settings["compaction_inputs_max"],
        input_bytes_max=settings["compaction_bytes_max"],
        closed_after_s=settings["compaction_idle_s"],
        interval_s=min(5.0, max(0.1, settings["compaction_idle_s"])),
        retired_grace_s=settings["collect_grace_s"],
        write=_write_options(settings, settings["zstd_level"]),
    )


def _http_settings(settings: Settings) -> HttpSettings:
    return HttpSettings(query_rows_max=settings["query_rows"], grpc_message_bytes_max=settings["body_bytes_max"])


def _measure(metrics: Registry, writer: Writer, compactor: Compactor) -> None:
    """What the stages count, at /metrics."""
    gauge = metrics.gauge
    gauge("pulka_writer_buffered_bytes", "Arrow bytes that are not in a fragment yet", lambda: writer.buffered_bytes)
    for name in ("flushes", "fragments", "rows", "failures", "conflicts"):
        gauge(f"pulka_writer_{name}", f"Writer {name} since the start", partial(getattr, writer.counts, name))
    gauge("pulka_compaction_pending", "Windows that compaction still has to look at", lambda: compactor.pending)
    for name in ("merges", "failures", "conflicts", "collected"):
        gauge(f"pulka_compaction_{name}", f"Compaction {name} since the start", partial(getattr, compactor.counts, name))
