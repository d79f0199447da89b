"""Cancellation: how long after it a query's CPU is idle and its memory back, of queries of several kinds, by id and by hanging up.

All of them run in processes of their own (`pulka.query.apart`).
"""

import argparse
import contextlib
import http.client
import json
import re
import statistics
import threading
import time
from pathlib import Path

from data import bodies, logs
from server import Server, connect, family, post, server
from table import markdown

QUERIES = {
    "distinct (hash tables of 1 GB)": "SELECT count(DISTINCT concat(trace_id, message)), count(DISTINCT message) FROM logs",
    "sort of all rows": "SELECT * FROM logs ORDER BY message, trace_id",
    "regular expression": "SELECT count(*) FROM logs WHERE regexp_like(concat(message, host, trace_id), '(a|b|c)+[0-9]*(d|e|f)+.*x$')",
    "window": "SELECT sum(r) FROM (SELECT row_number() OVER (PARTITION BY host ORDER BY message) AS r FROM logs)",
    "skewed join": "SELECT count(*) FROM logs a JOIN logs b USING (service) JOIN logs c USING (service)",
    "cross join": "SELECT sum(a.duration_ms * b.duration_ms) FROM logs a, logs b",
    "recursion": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
}
IDLE_SHARE = 0.1
WINDOW_S = 0.05
PATIENCE_S = 10


def cpu_ns(pids: list[int]) -> int:
    """What all their threads have run."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total


def rss_bytes(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        try:
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
            total += int(found[1]) * 1024 if found else 0
        except OSError:
            pass
    return total


def cancelled(found: Server, sql: str, number: int, after_s: float, hang_up: bool) -> list[float]:
    """Seconds from the cancellation to idle CPU; the bytes the query had, and those left a fifth of a second and a second after.

    A query that has ended by itself is asked again, and cancelled sooner.
    """
    pid, query_id = found.process.pid, f"bench-{number}"
    before = rss_bytes(family(pid))
    connection = connect(found.port)

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, AttributeError):
            post(connection, "/api/v1/query", json.dumps({"sql": sql}), {"Content-Type": "application/json", "Pulka-Query-Id": query_id})

    asking = threading.Thread(target=ask)
    asking.start()
    while True:
        time.sleep(0.02)
        try:
            if json.loads(found.request("GET", f"/api/v1/queries/{query_id}"))["stage"] == "execute":
                break
        except AssertionError:
            if not asking.is_alive():
                break
    time.sleep(after_s)
    had = rss_bytes(family(pid)) - before
    if not asking.is_alive():
        return cancelled(found, sql, number, after_s / 2, hang_up)
    began = time.monotonic()
    if hang_up:
        connection.sock.shutdown(2)
    else:
        found.request("DELETE", f"/api/v1/queries/{query_id}")
    told = settled(pid, began)
    asking.join()
    connection.close()
    return [told[0], had, *(max(0, left - before) for left in told[1:])]


def settled(pid: int, began: float) -> tuple[float, float, float]:
    """The beginning of the first quiet stretch, and memory after a fifth of a second and after a second."""
    idle_s, quiet_from, left = None, None, [0.0, 0.0]
    at, used = time.monotonic(), cpu_ns(family(pid))
    while at - began < PATIENCE_S and (idle_s is None or at - began < 1):
        time.sleep(0.005)
        pids = family(pid)
        now, now_used, memory = time.monotonic(), cpu_ns(pids), rss_bytes(pids)
        left = [memory if at - began < when else one for when, one in zip((0.2, 1), left, strict=True)]
        # Less than before: a process has just gone.
        busy = now_used < used or (now_used - used) / 1e9 > IDLE_SHARE * (now - at) + 0.001
        quiet_from = None if busy else at if quiet_from is None else quiet_from
        at, used = now, now_used
        if idle_s is None and quiet_from is not None and now - quiet_from >= WINDOW_S:
            idle_s = max(0.0, quiet_from - began)
    return float("inf") if idle_s is None else idle_s, *left


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--after", type=float, default=0.5, help="seconds of work before the cancellation")
    arguments.add_argument("--only", nargs="*", default=[""], help="queries whose name has any of these")
    given = arguments.parse_args()
    rows: list[list[object]] = []
    everything: list[list[float]] = []
    with server(query_time_s=120) as found:
        found.send("/api/v1/ingest/logs", bodies(logs(given.rows), 8_000_000))
        found.settle(quiet_s=5)
        number = 0
        for name, sql in QUERIES.items():
            if not any(part in name for part in given.only):
                continue
            for hang_up in (False, True):
                rounds = []
                for _ in range(given.rounds):
                    number += 1
                    rounds.append(cancelled(found, sql, number, given.after, hang_up))
                    time.sleep(0.5)
                everything += rounds
                rows.append([name, "hanging up" if hang_up else "id", *figures(rounds)])
    rows.append(["all", "", *figures(everything)])
    print(markdown("Cancellation", ["query", "by", "CPU idle ms, median", "max", "MB it took", "MB left after 200 ms", "after 1 s"], rows))


def figures(rounds: list[list[float]]) -> list[str]:
    """Median and maximum of the times in ms, medians of the memory in MB."""
    idle, *memory = zip(*rounds, strict=True)
    return [f"{1000 * statistics.median(idle):.0f}", f"{1000 * max(idle):.0f}", *(f"{statistics.median(one) / 1e6:.0f}" for one in memory)]


if __name__ == "__main__":
    main()
