"""`pulka edge run` as a process: what was seen while the receiver was away arrives once it is there, in any receiver and in the lake."""

import gzip
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.live.conftest import HERE, load
from tests.processes import free_port
from tests.up import SOURCE, Up
from tests.waiting import until

PYTHON = sys.executable
NAME = f"live-{os.getpid()}"  # whatever else is tested on this machine at the same time
Run = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def serve_named(serve: Callable[..., tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, int]]:
    """Only the server has the name, not what else a test starts."""

    def begin(*command: str | Path) -> tuple[int, int]:
        with monkeypatch.context() as own:
            own.setenv("OTEL_SERVICE_NAME", NAME)
            return serve(*command)

    return begin


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    running: list[subprocess.Popen[bytes]] = []

    def begin(url: str) -> "subprocess.Popen[bytes]":
        env = os.environ | {"PYTHONPATH": str(SOURCE), "PULKA_EDGE_INTERVAL_S": "1", "PULKA_STATE_DIR": str(tmp_path / "edge")}
        log = (tmp_path / f"run-{len(running)}.log").open("wb")
        process = subprocess.Popen([PYTHON, "-m", "pulka", "edge", "run", "--to", url], env=env, stderr=log)
        running.append(process)
        until(lambda: "Watching" in Path(log.name).read_text(), Path(log.name).read_text)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()


class Receiver:
    """An OTLP receiver that sums up what it gets."""

    def __init__(self, port: int) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.spans: list[dict[str, Any]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.take(json.loads(gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, body: dict[str, Any]) -> None:
        for resource in body.get("resourceMetrics", []):
            service = values(resource["resource"])["service.name"]
            for metric in resource["scopeMetrics"][0]["metrics"]:
                for point in metric.get("exponentialHistogram", {}).get("dataPoints", []):
                    self.counts[service, metric["name"], str(values(point).get("http.response.status_code"))] += int(point["count"])
        for resource in body.get("resourceSpans", []):
            self.spans += resource["scopeSpans"][0]["spans"]


def values(item: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: next(iter(one["value"].values())) for one in item["attributes"]}


def test_a_receiver_that_is_away_gets_everything_later(run: Run, serve_named: Callable[..., tuple[int, int]], tmp_path: Path) -> None:
    port, _ = serve_named(PYTHON, HERE / "server.py")
    away = free_port()
    agent = run(f"http://127.0.0.1:{away}")
    truth = load(port, 2, 700, "--rate", "700")
    spool = tmp_path / "edge" / "edge" / "spool"
    until(lambda: spool.exists() and list(spool.iterdir()), lambda: "it does not wait on disk")
    receiver = Receiver(away)
    try:
        seen = lambda: {status: n for (service, name, status), n in receiver.counts.items() if (service, name) == (NAME, "http.server.request.duration")}  # noqa: E731
        until(seen, is_wanted=lambda seen: seen == truth.statuses)
        until(lambda: not list(spool.iterdir()))
        assert {span["name"] for span in receiver.spans} >= {"GET /orders/*", "GET /missing"}
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(20) == 0
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()


def test_the_lake_answers_what_the_agent_saw(run: Run, start: Callable[..., Up], serve_named: Callable[..., tuple[int, int]]) -> None:
    otlp = free_port()
    up = start(otlp_http_listen=f"127.0.0.1:{otlp}")
    port, _ = serve_named(PYTHON, HERE / "server.py")
    run(f"http://127.0.0.1:{otlp}")
    truth = load(port, 2, 200)

    def counted() -> int:
        sql = "SELECT sum(count) AS n FROM metrics WHERE name = 'http.server.request.duration' AND service = '" + NAME + "'"
        answer = up.client.post("/api/v1/query", json={"sql": sql, "format": "json"}, timeout=60)
        return int((answer.json()["rows"][0]["n"] or 0) if answer.is_success else 0)

    until(counted, is_wanted=lambda count: count == truth.count)
