"""The state directory: one process has it at a time."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pulka.errors import Misconfigured

__all__ = ["fresh_directory", "state_lock"]

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


def fresh_directory(path: Path) -> Path:
    """An empty directory; a killed process may have left files."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
