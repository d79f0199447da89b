"""`pulka up` with the agent beside it: the map shows real servers, and the end of either process leaves nothing attached."""

import json
import os
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
from tests.live.servers import program, server
from tests.processes import free_port, has_ended
from tests.up import Up, cli
from tests.waiting import until

Start = Callable[..., Up]
Serve = Callable[..., tuple[int, int]]


def edge(up: Up) -> dict[str, Any]:
    return dict(up.client.get("/readyz", timeout=10).json()["edge"])


def watching(up: Up, *, other_than: int = 0) -> int:
    """The agent's process, once it watches."""
    told = until(lambda: edge(up), up.log.read_text, is_wanted=lambda told: told["state"] == "watching" and told["pid"] != other_than)
    return int(told["pid"])


def asked(up: Up, question: str) -> dict[str, Any]:
    return dict(up.client.get(f"/api/v1/{question}", timeout=60).raise_for_status().json())


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
    found = until(lambda: edges(up), is_wanted=lambda found: {("loader", "shop"), ("loader", "vault")} <= set(found) and found["loader", "shop"]["requests"] >= truth.count)
    shop = found["loader", "shop"]
    assert (shop["requests"], shop["errors"], shop["source"]) == (truth.count, 0, "agent"), "404 is the client's fault, and both ends tell of each request"
    assert 0 < shop["p50_ns"] <= shop["p95_ns"] <= shop["p99_ns"] < 60e9
    vault = until(lambda: edges(up)["loader", "vault"], is_wanted=lambda found: found["requests"] >= behind_tls.count)
    assert vault["requests"] == behind_tls.count, "and its handshakes are no requests"
    services = {one["service"]: one["source"] for one in asked(up, "services")["services"]}
    assert services.items() >= {"shop": "agent", "vault": "agent"}.items()

    now_ns = time.time_ns()
    span = {"timestamp": now_ns, "trace_id": "t", "span_id": "1", "service": "shop", "kind": "server", "duration_ns": 1000}
    up.ingest("spans", json.dumps(span).encode())
    both = until(lambda: {one["service"]: one for one in asked(up, "services")["services"]}, is_wanted=lambda found: found["shop"]["source"] == "both")
    assert both["shop"]["requests"] == truth.count
    assert "shop" in cli(up, "map", "--format", "table").stdout
    assert "watches this host" in cli(up, "doctor", "--format", "csv").stdout


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    program("redis-benchmark")
    port = free_port()
    with server([program("redis-server"), "--port", str(port), "--save", "", "--bind", "127.0.0.1"], port):
        yield port


def test_a_database_is_a_service_by_its_own_name(start: Start, redis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    up = start(edge_enabled="on", edge_interval_s=1)
    watching(up)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "bench")
    subprocess.run(["redis-benchmark", "-p", str(redis), "-n", "20000", "-c", "2", "-t", "set,get", "-q"], check=True, capture_output=True, timeout=60)
    found = until(lambda: edges(up), is_wanted=lambda found: any(key[0] == "bench" and one["requests"] >= 1000 for key, one in found.items()))
    assert "redis" in next(server for client, server in found if client == "bench")


def test_a_killed_agent_is_started_again_and_a_killed_lake_takes_its_agent_along(start: Start) -> None:
    up = start(edge_enabled="on", edge_interval_s=1)
    first = watching(up)
    held = kernel.held(first)
    assert held[0] and held[1]
    os.kill(first, signal.SIGKILL)
    assert kernel.are_gone(held)
    second = watching(up, other_than=first)
    assert edge(up)["restarts"] == 1
    held = kernel.held(second)
    up.kill()
    assert kernel.are_gone(held)
    until(lambda: has_ended(second))


def test_a_lake_that_stops_gets_the_rest_of_what_was_seen(start: Start, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    up = start(edge_enabled="on", edge_interval_s=3600)
    pid = watching(up)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    port, _ = serve(sys.executable, HERE / "server.py")
    truth = load(port, 1, 70)
    time.sleep(0.5)
    assert up.stop() == 0, up.log.read_text()
    assert has_ended(pid)
    again = start()
    services = {one["service"]: one["requests"] for one in asked(again, "services")["services"]}
    assert services["shop"] == truth.count


def test_where_it_may_not_it_says_why(start: Start) -> None:
    up = start(edge_enabled="auto", edge_without="bytes")
    told = until(lambda: edge(up), is_wanted=lambda told: told["state"] == "off")
    assert "edge_without" in told["reason"]
    assert up.client.get("/readyz").status_code == 200
    until(lambda: "the edge is off" in up.log.read_text(), up.log.read_text)
