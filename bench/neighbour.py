"""A noisy neighbour: how long a quiet tenant's small query takes alone, and beside a tenant that asks heavy questions all the time."""

import argparse
import http.client
import json
import statistics
import threading
import time

from data import bodies, logs
from server import Server, server
from table import markdown

HEAVY = (
    "SELECT service, count(DISTINCT trace_id), avg(duration_ms) FROM logs GROUP BY service",
    "SELECT host, approx_percentile_cont(duration_ms, 0.99) AS p FROM logs WHERE message LIKE '%a%' GROUP BY host",
    "SELECT message, count(*) AS n FROM logs GROUP BY message ORDER BY n DESC LIMIT 10",
)
SMALL = {
    "one service by severity": "SELECT severity, count(*) AS n FROM logs WHERE service = 'web-3' GROUP BY severity",
    "newest 100": "SELECT timestamp, message FROM logs ORDER BY timestamp DESC LIMIT 100",
}


def ask(connection: http.client.HTTPConnection, tenant: str, sql: str) -> float:
    """Seconds to the last byte of the answer."""
    began = time.monotonic()
    body = json.dumps({"sql": sql, "format": "arrow"})
    connection.request("POST", "/api/v1/query", body, {"Content-Type": "application/json", "X-Pulka-Tenant": tenant})
    response = connection.getresponse()
    answer = response.read()
    assert response.status in (200, 503), answer[:300]
    return time.monotonic() - began


def noisy(found: Server, stop: threading.Event, counts: list[int]) -> None:
    """Heavy questions, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", found.port, timeout=300)
    while not stop.is_set():
        ask(connection, "noisy", HEAVY[counts[0] % len(HEAVY)])
        counts[0] += 1


def latencies(found: Server, sql: str, rounds: int, seconds: float = 30) -> list[float]:
    """As many as there is time for."""
    connection = http.client.HTTPConnection("127.0.0.1", found.port, timeout=300)
    times: list[float] = []
    began = time.monotonic()
    while len(times) < rounds and time.monotonic() - began < seconds:
        times.append(ask(connection, "quiet", sql))
        time.sleep(0.05)
    return times


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--quiet-rows", type=int, default=200_000)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--clients", type=int, nargs="*", default=[1, 4])
    arguments.add_argument("--apart-bytes", type=int, nargs="*", default=[32 << 20], help="values of query_apart_bytes; 0 shows what it is good for")
    given = arguments.parse_args()
    rows = [row for apart_bytes in given.apart_bytes for row in measured(given, apart_bytes)]
    columns = ["query_apart_bytes", "small query", "noisy clients", "their queries", "alone ms, median", "p95", "beside ms, median", "p95", "ratio of medians"]
    print(markdown("A noisy neighbour", columns, rows))


def measured(given: argparse.Namespace, apart_bytes: int) -> list[list[object]]:
    rows: list[list[object]] = []
    with server(query_apart_bytes=apart_bytes) as found:
        found.send("/api/v1/ingest/logs", list(bodies(logs(given.quiet_rows), 8_000_000)), tenant="quiet")
        found.send("/api/v1/ingest/logs", list(bodies(logs(given.rows), 8_000_000)), tenant="noisy")
        found.settle(quiet_s=5)
        for name, sql in SMALL.items():
            latencies(found, sql, 5)
            alone = latencies(found, sql, given.rounds)
            for clients in given.clients:
                stop, counts = threading.Event(), [0]
                threads = [threading.Thread(target=noisy, args=(found, stop, counts)) for _ in range(clients)]
                for thread in threads:
                    thread.start()
                time.sleep(2)
                beside = latencies(found, sql, given.rounds)
                stop.set()
                for thread in threads:
                    thread.join()
                ratio = statistics.median(beside) / statistics.median(alone)
                rows.append([f"{apart_bytes >> 20} MiB", name, clients, counts[0], *figures(alone), *figures(beside), f"{ratio:.2f}"])
    return rows


def figures(times: list[float]) -> list[str]:
    """Median and 95th percentile, in ms."""
    return [f"{1000 * statistics.median(times):.0f}", f"{1000 * sorted(times)[int(len(times) * 0.95)]:.0f}"]


if __name__ == "__main__":
    main()
