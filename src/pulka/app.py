"""Wires the lake: the only file that names implementations.

Start order follows the data: catalog, journal (recovery), writer (replay), then intake, engine and the listeners, so
nothing is asked before everything acknowledged is visible again. Stop order is the reverse.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import uvicorn
from obstore.store import LocalStore

from pulka.clock import SystemClock
from pulka.config import Settings
from pulka.errors import Misconfigured, Temporary
from pulka.intake.ingest import Intake
from pulka.intake.options import IntakeSettings
from pulka.journal.wal import WalJournal
from pulka.query.engine import DataFusionEngine
from pulka.seams import Clock, Fragment
from pulka.store.catalog import SqlCatalog
from pulka.store.check import Finding, check
from pulka.store.collect import Collector
from pulka.store.compaction import Compactor
from pulka.store.repair import RepairReport, repair
from pulka.store.settings import StoreSettings
from pulka.store.writer import Writer
from pulka.surfaces.http.app import create_app
from pulka.surfaces.http.otlp_grpc import serve_otlp_grpc
from pulka.surfaces.http.services import HttpSettings, Services
from pulka.telemetry import Registry

__all__ = ["Announce", "Lake", "Offline", "offline", "open_lake", "repair_catalog", "serve", "state_lock"]

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
        store_settings = _store_settings(settings)
        objects = _objects(settings)
        writer = Writer(journal, catalog, objects, settings.state_dir / "spool", clock=clock, settings=store_settings, metrics=metrics)
        await writer.start()
        stack.push_async_callback(writer.close)
        compactor = Compactor(catalog, objects, settings.state_dir / "spool", clock=clock, settings=store_settings, metrics=metrics)
        await compactor.start()
        stack.push_async_callback(compactor.close)
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
            threads=settings.threads,
        )
        services = Services(intake, engine, catalog, clock, fresh=writer, settings=_http_settings(settings), metrics=metrics)
        yield Lake(settings, services, writer, tuple(journal.recovered.sentences()))


async def serve(settings: Settings, announce: Announce) -> None:
    """Run a lake with its listeners until SIGINT or SIGTERM."""
    logging.basicConfig(level=str(settings["log_level"]).upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with contextlib.ExitStack() as sockets:
        bound = _bind_all(settings, sockets)
        async with open_lake(settings) as lake:
            await _listen(lake, bound, announce)


async def _listen(lake: Lake, bound: Mapping[str, socket.socket], announce: Announce) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    http = _Server(uvicorn.Config(create_app(lake.services), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=10))
    serving = asyncio.create_task(http.serve(sockets=[bound[name] for name in ("http", "otlp_http") if name in bound]))
    addresses = {name: _url(name, sock) for name, sock in bound.items()}
    notes = list(lake.notes)
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
        server = await serve_otlp_grpc(lake.services, address)
    except (OSError, RuntimeError):
        _taken("otlp_grpc_listen", address, lake.settings, notes)
        return
    stack.push_async_callback(server.stop, 5)
    addresses["otlp_grpc"] = address


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: `serve` stops it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind_all(settings: Settings, stack: contextlib.ExitStack) -> dict[str, socket.socket]:
    bound = {"http": stack.enter_context(_bind("http_listen", str(settings["http_listen"])))}
    address = str(settings["otlp_http_listen"])
    if address != "off":
        try:
            bound["otlp_http"] = stack.enter_context(_bind("otlp_http_listen", address))
        except Misconfigured:
            _taken("otlp_http_listen", address, settings, [])
    return bound


def _taken(name: str, address: str, settings: Settings, notes: list[str]) -> None:
    """A default address that another program has is a note; one the user asked for is an error."""
    sentence = f"{name}: {address} is taken by another program"
    if settings.origin(name) != "default":
        raise Misconfigured(sentence, hint=f"stop that program, or set {name} to another address or `off`")
    log.warning("%s; OTLP is still taken at the HTTP address", sentence)
    notes.append(sentence)


def _bind(name: str, address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise Misconfigured(f"`{name}` is `{address}`", hint="it needs the form HOST:PORT")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=1024)
    except OSError as error:
        raise Misconfigured(f"{name}: cannot listen at {address}: {error.strerror}", hint=f"set {name} to another address") from error


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

    def check(self) -> AsyncIterator[Finding]:
        """What is wrong in the store, if anything."""
        return check(self.catalog, _objects(self.settings), self.settings.state_dir / "spool")


@contextlib.asynccontextmanager
async def offline(settings: Settings) -> AsyncIterator[Offline]:
    """Open the catalog of a state directory; NotFound-like Misconfigured when there is none."""
    if not settings.state_dir.exists():
        raise Misconfigured(f"{settings.state_dir} does not exist", hint="start Pulka once, or name its directory with --state-dir")
    catalog = await SqlCatalog.open(_catalog_url(settings), SystemClock())
    try:
        yield Offline(catalog, settings)
    finally:
        await catalog.close()


async def repair_catalog(settings: Settings, *, dry_run: bool) -> RepairReport:
    """Rebuild the catalog from the footers of all fragments."""
    with state_lock(settings.state_dir):
        async with offline(settings) as lake:
            return await repair(lake.catalog, _objects(settings), settings.state_dir / "spool", dry_run=dry_run)


def _catalog_url(settings: Settings) -> str:
    return str(settings["catalog_url"]) or f"sqlite:///{settings.state_dir / 'catalog.sqlite'}"


def _objects(settings: Settings) -> LocalStore:
    return LocalStore(str(settings.state_dir / "objects"), mkdir=True)


def _path(settings: Settings, fragment: Fragment) -> str:
    return str(settings.state_dir / "objects" / fragment.key)
