"""Live tail: how long after its acknowledgement an event is delivered, idle and under load, and what a reader costs that is stuck."""

import argparse
import http.client
import json
import socket
import threading
import time

from server import Server, connect, post, server
from table import markdown

BACKGROUND_LINE = json.dumps({"service": "load", "severity": "INFO", "message": "x" * 330}).encode() + b"\n"


class Reader(threading.Thread):
    """Reads a tail and notes when each numbered batch came."""

    def __init__(self, found: Server, query: str) -> None:
        super().__init__(daemon=True)
        self.came: dict[int, float] = {}
        self.dropped = 0
        self.connection = connect(found.port)
        self.connection.request("GET", f"/api/v1/tail?{query}")
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()

    def run(self) -> None:
        name = b""
        try:
            while line := self.response.readline():
                if line.startswith(b"event: "):
                    name = line[7:].strip()
                elif line.startswith(b"data: ") and name == b"rows":
                    now = time.monotonic()
                    for row in json.loads(line[6:]):
                        self.came.setdefault(row["batch"], now)
                elif line.startswith(b"data: ") and name == b"dropped":
                    self.dropped += json.loads(line[6:])["rows"]
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            return


def background(found: Server, mb_per_s: float, stop: threading.Event) -> None:
    """Events of another service into the same table, about as many MB each second."""
    connection = connect(found.port)
    body = BACKGROUND_LINE * (200_000 // len(BACKGROUND_LINE))
    sent, began = 0, time.monotonic()
    while not stop.is_set():
        post(connection, "/api/v1/ingest/logs", body)
        sent += len(body)
        stop.wait(max(0.0, sent / (mb_per_s * 1e6) - (time.monotonic() - began)))


def measure(found: Server, readers: int, mb_per_s: float, seconds: float) -> list[object]:
    """p50 and p99 of delivery after acknowledgement, over all readers and batches."""
    stop = threading.Event()
    loads = [threading.Thread(target=background, args=(found, mb_per_s, stop))] if mb_per_s else []
    tails = [Reader(found, "search=service:tailed") for _ in range(readers)]
    for thread in [*loads, *tails]:
        thread.start()
    time.sleep(1)
    acked: dict[int, float] = {}
    connection = connect(found.port)
    cpu, began = found.cpu_s(), time.monotonic()
    number = time.monotonic_ns()
    while time.monotonic() - began < seconds:
        number += 1
        rows = b"".join(json.dumps({"service": "tailed", "batch": number, "n": n, "message": "hello"}).encode() + b"\n" for n in range(5))
        post(connection, "/api/v1/ingest/logs", rows)
        acked[number] = time.monotonic()
        time.sleep(0.02)
    used = (found.cpu_s() - cpu) / (time.monotonic() - began)
    time.sleep(2)
    stop.set()
    for thread in loads:
        thread.join()
    late = sorted(max(0.0, tail.came[batch] - at) * 1000 for tail in tails for batch, at in acked.items() if batch in tail.came)
    missing = sum(batch not in tail.came for tail in tails for batch in acked)
    for tail in tails:
        tail.connection.close()
    time.sleep(0.5)
    percentile = lambda share: f"{late[min(len(late) - 1, int(len(late) * share))]:.0f}" if late else "-"  # noqa: E731
    return [readers, mb_per_s, len(acked), percentile(0.5), percentile(0.99), percentile(1), missing, f"{used:.2f}"]


def stuck(found: Server, readers: int, mb: float) -> list[object]:
    """Resident memory while so many readers take nothing of so many MB."""
    sockets = []
    for _ in range(readers):
        one = socket.create_connection(("127.0.0.1", found.port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.sendall(b"GET /api/v1/tail HTTP/1.1\r\nHost: x\r\n\r\n")
        sockets.append(one)
    time.sleep(0.5)
    before = found.rss_bytes()
    body = BACKGROUND_LINE * (1_000_000 // len(BACKGROUND_LINE))
    found.send("/api/v1/ingest/logs", [body] * int(mb))
    after = found.rss_bytes(peak=True)
    dropped = found.metric("pulka_tail_dropped_rows")
    for one in sockets:
        one.close()
    return [readers, int(mb), before >> 20, after >> 20, f"{dropped:,.0f}"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--mb", type=float, default=200)
    given = arguments.parse_args()
    rows = []
    with server() as found:
        for readers, load in ((1, 0), (1, 5), (1, 20), (4, 5), (8, 5)):
            rows.append(measure(found, readers, load, given.seconds))
    columns = ["readers", "background MB/s", "batches", "p50 ms", "p99 ms", "max ms", "missing", "server's cores"]
    print(markdown("Live tail: delivery after acknowledgement", columns, rows))
    rows = []
    for readers in (0, 8):
        with server() as found:
            rows.append(stuck(found, readers, given.mb))
    print(markdown("Live tail: readers that are stuck", ["stuck readers", "MB sent", "MB before", "peak MB", "rows dropped"], rows))


if __name__ == "__main__":
    main()
