"""Wires the lake: the only file that names implementations.

Start order follows the data: catalog, journal (recovery), writer (replay), then intake, engine and the listeners, so
nothing is asked before everything acknowledged is visible again. Stop order is the reverse.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import obstore.store

from pulka.clock import SystemClock
from pulka.config import Settings
from pulka.errors import Misconfigured
from pulka.seams import Clock, Fragment

__all__ = ["Lake", "open_lake", "serve", "state_lock"]

Announce = Callable[[dict[str, str], list[str]], None]


@contextlib.contextmanager
def state_lock(directory: Path) -> "contextlib.AbstractContextManager[None]":  # type: ignore[misc]
    """Hold the state directory for one process; Misconfigured names the process that has it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as file:
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
