"""`pulka up` with the agent beside it: the map shows real servers, and the end of either process leaves nothing attached."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.live import kernel
from tests.live.conftest import HERE, load
from tests.live.test_leaving import gone
from tests.processes import free_port
from tests.up import Up, cli

Start = Callable[..., Up]
Serve = Callable[..., tuple[int, int]]


def edge(up: Up) -> dict[str, Any]:
    return dict(up.client.get("/readyz", timeout=10).json()["edge"])


def watching(up: Up, *, other_than: int = 0) -> int:
    """The agent's process, once it watches."""
    for _ in range(600):
        told = edge(up)
        if told["state"] == "watching" and told["pid"] != other_than:
            return int(told["pid"])
        time.sleep(0.1)
    raise AssertionError(f"{told}\n{up.log.read_text()}")


def asked(up: Up, question: str) -> dict[str, Any]:
    return dict(up.client.get(f"/api/v1/{question}", timeout=60).raise_for_status().json())


def eventually(what: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    for _ in range(150):
        found = what()
        if wanted(found):
            return found
        time.sleep(0.2)
    raise AssertionError(found)


def ended(pid: int) -> bool:
    """Also when nobody has asked for its exit code yet."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z " in stat.read_text()


def edges(up: Up) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["client"], one["server"]): one for one in asked(up, "map")["edges"]}


def test_the_map_shows_real_servers(start: Start, serve: Serve, monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]) -> None:
    up = start(edge_enabled="on", edge_interval_s=1)
    watching(up)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    port, _ = serve(sys.executable, HERE / "server.py")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "vault")
    sealed, _ = serve(sys.executable, HERE / "server.py", *certificate, "--threads")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "loader")
    truth, behind_tls = load(port, 2, 350, "--rate", "500"), load(sealed, 1, 140, certificate[0], "--rate", "200")
    found = eventually(lambda: edges(up), lambda found: {("loader", "shop"), ("loader", "vault")} <= set(found) and found["loader", "shop"]["requests"] >= truth.count)
    shop = found["loader", "shop"]
    assert (shop["requests"], shop["errors"], shop["source"]) == (truth.count, 0, "agent"), "404 is the client's fault, and both ends tell of each request"
    assert 0 < shop["p50_ns"] <= shop["p95_ns"] <= shop["p99_ns"] < 60e9
    vault = eventually(lambda: edges(up)["loader", "vault"], lambda found: found["requests"] >= behind_tls.count)
    assert vault["requests"] == behind_tls.count, "and its handshakes are no requests"
    services = {one["service"]: one["source"] for one in asked(up, "services")["services"]}
    assert services.items() >= {"shop": "agent", "vault": "agent"}.items()

    now_ns = time.time_ns()
    span = {"timestamp": now_ns, "trace_id": "t", "span_id": "1", "service": "shop", "kind": "server", "duration_ns": 1000}
    up.ingest("spans", json.dumps(span).encode())
    both = eventually(lambda: {one["service"]: one for one in asked(up, "services")["services"]}, lambda found: found["shop"]["source"] == "both")
    assert both["shop"]["requests"] == truth.count
    assert "shop" in cli(up, "map", "--format", "table").stdout
    assert "watches this host" in cli(up, "doctor", "--format", "csv").stdout


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    program = shutil.which("redis-server")
    if program is None or shutil.which("redis-benchmark") is None:
        pytest.skip("needs redis-server and redis-benchmark")
    port = free_port()
    process = subprocess.Popen([program, "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    yield port
    process.kill()
    process.wait()


def test_a_database_is_a_service_by_its_own_name(start: Start, redis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    up = start(edge_enabled="on", edge_interval_s=1)
    watching(up)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "bench")
    subprocess.run(["redis-benchmark", "-p", str(redis), "-n", "500", "-c", "2", "-t", "set,get", "-q"], check=True, capture_output=True, timeout=60)
    found = eventually(lambda: edges(up), lambda found: any(key[0] == "bench" and one["requests"] >= 1000 for key, one in found.items()))
    assert "redis" in next(server for client, server in found if client == "bench")


def test_a_killed_agent_is_started_again_and_a_killed_lake_takes_its_agent_along(start: Start) -> None:
    up = start(edge_enabled="on", edge_interval_s=1)
    first = watching(up)
    held = kernel.held(first)
    assert held[0] and held[1]
    os.kill(first, signal.SIGKILL)
    assert gone(held)
    second = watching(up, other_than=first)
    assert edge(up)["restarts"] == 1
    held = kernel.held(second)
    up.kill()
    assert gone(held)
    eventually(lambda: ended(second), bool)


def test_a_lake_that_stops_gets_the_rest_of_what_was_seen(start: Start, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    up = start(edge_enabled="on", edge_interval_s=3600)
    pid = watching(up)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    port, _ = serve(sys.executable, HERE / "server.py")
    truth = load(port, 1, 70)
    time.sleep(0.5)
    assert up.stop() == 0, up.log.read_text()
    assert ended(pid)
    again = start()
    services = {one["service"]: one["requests"] for one in asked(again, "services")["services"]}
    assert services["shop"] == truth.count


def test_where_it_may_not_it_says_why(start: Start) -> None:
    up = start(edge_enabled="auto", edge_without="bytes")
    told = eventually(lambda: edge(up), lambda told: told["state"] == "off")
    assert "edge_without" in told["reason"]
    assert up.client.get("/readyz").status_code == 200
    assert "the edge is off" in up.log.read_text()
