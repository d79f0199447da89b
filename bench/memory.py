"""Resident memory idle and while ingesting, and how long an acknowledged event takes to be seen by a query."""

import argparse
import json
import statistics
import threading
import time

from data import bodies, logs
from server import Server, server
from table import markdown


def paced(lake: Server, pieces: list[bytes], rate: float, seconds: float) -> list[int]:
    """Send at `rate` bytes a second for `seconds`; resident memory every half second."""
    samples: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            samples.append(lake.rss_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, sent, turn = time.monotonic(), 0, 0
    while time.monotonic() - start < seconds:
        if sent <= rate * (time.monotonic() - start):
            piece = pieces[turn % len(pieces)].replace(b"tenant-", b"turn-%d-" % turn)
            lake.send("/api/v1/ingest/logs", [piece], clients=1)
            sent, turn = sent + len(piece), turn + 1
        else:
            time.sleep(0.005)
    stop.set()
    watcher.join()
    return samples


def visibility(lake: Server, rounds: int) -> list[float]:
    """Seconds from the acknowledgement of a marked event to the first answer that has it."""
    waits = []
    for n in range(rounds):
        lake.request("POST", "/api/v1/ingest/marks", json.dumps({"mark": n}).encode())
        acked = time.monotonic()
        while json.loads(lake.query(f"SELECT count(*) AS n FROM marks WHERE mark = {n}"))["rows"][0]["n"] != 1:
            assert time.monotonic() - acked < 10, "an acknowledged event is not visible"
        waits.append(time.monotonic() - acked)
    return sorted(waits)


def main() -> None:
    """Measure one server."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--rate-mb", type=float, default=50)
    given = arguments.parse_args()
    pieces = bodies(logs(1_000_000))
    with server() as lake:
        time.sleep(3)
        idle = lake.rss_bytes()
        background = threading.Thread(target=lambda: results.extend(visibility(lake, 200)))
        results: list[float] = []
        samples = paced(lake, pieces, given.rate_mb * 1e6, given.seconds)
        background.start()
        paced(lake, pieces, given.rate_mb * 1e6 / 2, 20)
        background.join()
        peak = lake.rss_bytes(peak=True)
    rows: list[list[object]] = [
        ["resident memory idle, MB", f"{idle / 1e6:.0f}"],
        [f"resident memory at {given.rate_mb:g} MB/s, median / max MB", f"{statistics.median(samples) / 1e6:.0f} / {peak / 1e6:.0f}"],
        ["visible after acknowledgement under load, p50 / p99 ms", f"{_at(results, 0.5):.0f} / {_at(results, 0.99):.0f}"],
    ]
    print(markdown("Memory and visibility", ["", "pulka"], rows))


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] * 1000


if __name__ == "__main__":
    main()
