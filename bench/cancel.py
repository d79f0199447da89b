"""Cancellation: how long after it a query's CPU is idle and its memory back, of queries of several kinds, by id and by hanging up."""

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
from server import Server, server
from table import markdown

QUERIES = {
    "distinct (hash tables of 1 GB)": "SELECT count(DISTINCT concat(trace_id, message)), count(DISTINCT message) FROM logs",
    "sort of all rows": "SELECT * FROM logs ORDER BY message, trace_id",
    "regular expression": "SELECT count(*) FROM logs WHERE regexp_like(concat(message, host, trace_id), '(a|b|c)+[0-9]*(d|e|f)+.*x$')",
    "window": "SELECT sum(r) FROM (SELECT row_number() OVER (PARTITION BY host ORDER BY message) AS r FROM logs)",
    "skewed join (apart)": "SELECT count(*) FROM logs a JOIN logs b USING (service) JOIN logs c USING (service)",
    "cross join (apart)": "SELECT sum(a.duration_ms * b.duration_ms) FROM logs a, logs b",
    "recursion (apart)": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
}
IDLE_SHARE = 0.1
WINDOW_S = 0.05
BACK_BYTES = 32 << 20


def family(pid: int) -> list[int]:
    """A process and its children, as far as they live."""
    found = [pid]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(folder.name))
        except OSError:
            pass
    return found


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


def cancelled(found: Server, sql: str, number: int, after_s: float, hang_up: bool) -> tuple[float, float, int]:
    """Seconds from the cancellation to idle CPU, and to memory back; and the bytes the query had."""
    query_id = f"bench-{number}"
    before = rss_bytes(family(found.process.pid))
    connection = http.client.HTTPConnection("127.0.0.1", found.port, timeout=300)

    def ask() -> None:
        try:
            connection.request("POST", "/api/v1/query", json.dumps({"sql": sql}), {"Content-Type": "application/json", "Pulka-Query-Id": query_id})
            connection.getresponse().read()
        except (OSError, http.client.HTTPException, AttributeError):
            return

    asking = threading.Thread(target=ask)
    asking.start()
    while True:
        time.sleep(0.02)
        try:
            stage = json.loads(found.request("GET", f"/api/v1/queries/{query_id}"))["stage"]
        except AssertionError:
            assert asking.is_alive(), "the query ended before it could be cancelled"
            continue
        if stage == "execute" or (stage == "plan" and len(family(found.process.pid)) > 1):
            break
    time.sleep(after_s)
    taken = rss_bytes(family(found.process.pid)) - before
    began = time.monotonic()
    if hang_up:
        connection.sock.shutdown(2)
    else:
        found.request("DELETE", f"/api/v1/queries/{query_id}")
    idle_s, back_s = settled(found.process.pid, began, before)
    asking.join()
    connection.close()
    return idle_s, back_s, taken


def settled(pid: int, began: float, before: int) -> tuple[float, float]:
    """The beginning of the first quiet stretch, and when memory was back."""
    back_s, quiet_from, at = float("nan"), None, time.monotonic()
    used = cpu_ns(family(pid))
    while at - began < 10:
        time.sleep(0.005)
        pids = family(pid)
        now, now_used = time.monotonic(), cpu_ns(pids)
        if back_s != back_s and rss_bytes(pids) - before < BACK_BYTES:
            back_s = now - began
        busy = (now_used - used) / 1e9 > IDLE_SHARE * (now - at) + 0.001 or now_used < used  # less: a process has just gone
        quiet_from = None if busy else (quiet_from if quiet_from is not None else at)
        at, used = now, now_used
        if quiet_from is not None and now - quiet_from >= WINDOW_S and back_s == back_s:
            return max(0.0, quiet_from - began), back_s
    return (max(0.0, quiet_from - began) if quiet_from is not None else float("inf")), back_s if back_s == back_s else float("inf")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--after", type=float, default=1.0, help="seconds of work before the cancellation")
    given = arguments.parse_args()
    rows: list[list[object]] = []
    everything: list[tuple[float, float]] = []
    with server(query_time_s=120) as found:
        found.send("/api/v1/ingest/logs", list(bodies(logs(given.rows), 8_000_000)))
        found.settle(quiet_s=5)
        number = 0
        for name, sql in QUERIES.items():
            for hang_up in (False, True):
                taken_of, times = [], []
                for _ in range(given.rounds):
                    number += 1
                    idle_s, back_s, taken = cancelled(found, sql, number, given.after, hang_up)
                    times.append((idle_s, back_s))
                    taken_of.append(taken)
                    time.sleep(0.5)
                everything += times
                rows.append([name, "hanging up" if hang_up else "id", f"{max(taken_of) >> 20:,}", *figures(times)])
    rows.append(["all", "", "", *figures(everything)])
    print(markdown("Cancellation", ["query", "by", "MB it had", "CPU idle ms, median", "max", "memory back ms, median", "max"], rows))


def figures(times: list[tuple[float, float]]) -> list[str]:
    """Median and maximum of both, in ms."""
    return [f"{1000 * one(values):.0f}" for values in zip(*times, strict=True) for one in (statistics.median, max)]


if __name__ == "__main__":
    main()
