"""CPU and wall time of a query: cold, which is with its files out of the page cache, and hot."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from server import Server

__all__ = ["Asked", "Used", "forget", "measured", "ours"]


@dataclass(frozen=True, slots=True)
class Used:
    """CPU-seconds, user and system, and seconds of wall time."""

    cpu_s: float
    wall_s: float


@dataclass(slots=True)
class Asked:
    """One query: its first run with none of the files in the page cache, the best of the others, and the answer or what went wrong."""

    cold: Used | None = None
    hot: Used | None = None
    answer: Any = None
    error: str = ""


def measured(ask: Callable[[], Any], clock: Callable[[], float], rounds: int, cold: Sequence[str]) -> Asked:
    """Run once with the files in `cold` out of the page cache, when there are any, then `rounds` times."""
    asked = Asked()
    try:
        if cold:
            forget(cold)
            asked.cold, asked.answer = _timed(ask, clock)
        for _ in range(rounds):
            used, asked.answer = _timed(ask, clock)
            asked.hot = used if asked.hot is None or used.cpu_s < asked.hot.cpu_s else asked.hot
    except Exception as error:
        asked = Asked(error=str(error)[:200])
    print(end=".", file=sys.stderr, flush=True)
    return asked


def _timed(ask: Callable[[], Any], clock: Callable[[], float]) -> tuple[Used, Any]:
    cpu, wall = clock(), time.monotonic()
    answer = ask()
    return Used(clock() - cpu, time.monotonic() - wall), answer


def forget(files: Iterable[str]) -> None:
    """Drop the files from the page cache: they are read from the disk again."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def ours(lake: Server, queries: Mapping[str, str], rounds: int, cold: Sequence[str] = ()) -> dict[str, Asked]:
    """Ask Pulka over HTTP."""
    return {name: measured(lambda sql=sql: pa.ipc.open_stream(lake.query(sql, "arrow")).read_all(), lake.cpu_s, rounds, cold) for name, sql in queries.items()}
