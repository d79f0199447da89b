"""Compaction: what it costs while log lines arrive steadily, and what it saves a query of one service.

Lines are sent at a fixed rate for a while; then the writer flushes, the window closes and the last merges are done. Write
amplification is bytes written by flushes and merges per byte flushed; what merges cost is the CPU beyond a run without them.
How many fragments a query of one service touches is told by `explain`.
"""

import argparse
import json
import time
from itertools import count, cycle
from urllib.parse import quote

from data import bodies, logs
from server import Server, connect, post, server
from table import markdown

SQL = "SELECT count(*) FROM logs WHERE service = 'web-1' AND timestamp >= '2026-01-01T00:00:00Z' AND timestamp < '2026-01-01T01:00:00Z'"


def feed(lake: Server, pieces: list[bytes], rate_bytes: float, seconds: float) -> float:
    """Send bodies at `rate_bytes` per second; returns the MB/s that were reached."""
    connection = connect(lake.port)
    began, sent = time.monotonic(), 0
    for number, body in zip(count(), cycle(pieces), strict=False):
        if time.monotonic() - began >= seconds:
            break
        time.sleep(max(0.0, began + sent / rate_bytes - time.monotonic()))
        # A key of its own: the same body is sent many times, and is to be stored each time.
        status, answer = post(connection, f"/api/v1/ingest/logs?field={quote(f'round=r{number}')}", body, {"Idempotency-Key": str(number)})
        assert status in (200, 503), answer[:500]
        sent += len(body) if status == 200 else 0
    return sent / 1e6 / (time.monotonic() - began)


def touched(lake: Server) -> tuple[int, int]:
    """Fragments that the query reads, and fragments of the table."""
    answer = json.loads(lake.request("POST", "/api/v1/explain", json.dumps({"sql": SQL}).encode(), {"Content-Type": "application/json"}))
    (funnel,) = answer["tables"]
    return funnel["scanned"], funnel["fragments_total"]


def state(name: str, lake: Server, began: float, cpu_s: float) -> list[object]:
    """A row of the table."""
    scanned, total = touched(lake)
    used_s, seconds = lake.cpu_s() - cpu_s, time.monotonic() - began
    busy_s = lake.metric("pulka_compaction_busy_seconds")
    return [
        name, f"{used_s:.1f}", f"{used_s / seconds:.0%}", f"{busy_s:.1f}", f"{lake.metric('pulka_compaction_merges'):.0f}",
        f"{lake.metric('pulka_writer_bytes') / 1e6:.0f}", f"{lake.metric('pulka_write_amplification'):.2f}",
        f"{scanned} of {total}", f"{lake.rss_bytes(peak=True) / 1e6:.0f}",
    ]  # fmt: skip


def measure(given: argparse.Namespace, pieces: list[bytes], **settings: object) -> tuple[float, list[list[object]]]:
    """MB/s that were reached, and rows of the table."""
    with server(flush_age_s=5, locality_rows=given.locality_rows, **settings) as lake:
        cpu_s, began = lake.cpu_s(), time.monotonic()
        reached = feed(lake, pieces, given.rate * 1e6, given.seconds)
        if settings["compaction_inputs"] > 1000:
            return reached, [state("fed, without merges", lake, began, cpu_s)]
        rows = [state("fed", lake, began, cpu_s)]
        lake.settle(900, quiet_s=60)  # after a merge the worker rests as long as it took
        return reached, [*rows, state("then settled", lake, began, cpu_s)]


def main() -> None:
    """Feed without merges and with them."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=500_000, help="rows of the file that is sent again and again")
    arguments.add_argument("--rate", type=float, default=20.0, help="MB/s")
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--locality-rows", type=int, default=1_000_000)
    given = arguments.parse_args()
    pieces = bodies(logs(given.rows))
    _, without = measure(given, pieces, compaction_inputs=1 << 30, compaction_inputs_max=1 << 30, compaction_idle_s=1e6)
    reached, rows = measure(given, pieces, compaction_inputs=8, compaction_idle_s=10)
    columns = ["", "CPU s", "of a core", "wall s in merges", "merges", "MB flushed", "write amplification", "fragments one service touches", "peak RSS MB"]
    title = f"Compaction at {reached:.1f} MB/s of log lines for {given.seconds:.0f} s, {given.locality_rows:,} locality rows"
    print(markdown(title, columns, [*without, *rows]))


if __name__ == "__main__":
    main()
