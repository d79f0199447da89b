"""Queries that would take all there is, and the processes that such queries run in."""

import contextlib
import os
from pathlib import Path

from tests.processes import children

BOMBS = {
    "cross join": "select sum(a.n * b.n + c.n) from logs a, logs b, logs c",
    "unequal join": "select count(*) from logs a join logs b on a.n < b.n join logs c on b.n < c.n",
    "skewed join": "select count(*) from logs a join logs b using (service) join logs c using (service)",
    "self semi join": "select count(*) from logs a where exists (select 1 from logs b, logs c where b.n + c.n > a.n)",
    "recursion": "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
    "growing recursion": "with recursive r as (select 'x' as s union all select s || s from r) select count(*) from r",
    "series": "select count(*) from generate_series(1, 100000000000) a, generate_series(1, 100000) b",
    "array": "select count(*) from unnest(range(0, 4000000000))",
    "text": "select length(repeat('x', 2000000000))",
    "padding": "select length(lpad('x', 2000000000))",
    "copied clauses": "with a as (select * from logs), "
    + ", ".join(f"{new} as (select x.n from {old} x, {old} y, {old} z)" for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    + " select count(*) from i",
    "doubled text": "with a as (select 'xxxxxxxxxxxxxxxx' s), "
    + ", ".join(f"{new} as (select s||s||s||s||s||s||s||s as s from {old})" for old, new in zip("abcdefghij", "bcdefghijk", strict=True))
    + " select length(s) from k",
}


def processes_apart() -> set[int]:
    """Of this process, whichever else it has started: the children of templates, and what was started anew."""
    anew = {pid for pid in children(os.getpid()) if b"apart.child import main" in _command(pid)}
    return anew.union(*(children(pid) for pid in templates()))


def templates() -> set[int]:
    """The processes that others are forked from."""
    return {pid for pid in children(os.getpid()) if b"apart.template import main" in _command(pid)}


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):  # it ended meanwhile
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
