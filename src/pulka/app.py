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
