"""Every transaction over plaintext is seen, from both ends, with its status; truth is what the load generator counted."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE, Watcher, load
from tests.live.servers import server
from tests.processes import free_port
from tests.waiting import until

from pulka.edge.naming import name_service

PYTHON = sys.executable


def test_every_request_of_a_busy_server_is_seen_from_both_ends(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    port, pid = serve(PYTHON, HERE / "server.py")
    watcher = watch()
    truth = load(port, 8, 2000)
    watcher.check(port, truth)
    rows = [row for row in watcher.seen if row.port == port]
    assert {(row.operation, row.target) for row in rows} == {("GET", "/orders/*"), ("GET", "/missing")}
    assert {row.service for row in rows if not row.is_client} == {str(pid)}
    assert {row.peer for row in rows if row.is_client} == {str(pid)}
    assert name_service(watcher.pids[pid]).runtime.startswith("python")


def test_connections_that_are_older_than_the_agent(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    port, pid = serve(PYTHON, HERE / "server.py")
    loading = subprocess.Popen([PYTHON, HERE / "load.py", str(port), "4", "1200", "--rate", "400"], stdout=subprocess.PIPE)
    time.sleep(1)
    watcher = watch()
    loading.communicate(timeout=60)
    until(lambda: watcher.statuses(port, is_client=False), lambda: watcher.native.status().counters, is_wanted=lambda seen: sum(seen.values()) > 600)
    assert {row.service for row in watcher.seen if row.port == port and not row.is_client} == {str(pid)}


def test_who_is_gone_before_it_is_looked_at_is_what_it_was_forked_from(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    port, pid = serve(PYTHON, HERE / "server.py", "--forks")
    watcher = watch(poll_ms=1000)
    truth = load(port, 40, 3)
    watcher.check(port, truth)
    rows = [row for row in watcher.seen if row.port == port]
    servers = {row.service for row in rows if not row.is_client} | {row.peer for row in rows if row.is_client}
    assert str(pid) in servers and "" not in servers


def test_what_comes_while_names_are_asked_for_waits_for_the_next_report(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    port, pid = serve(PYTHON, HERE / "server.py")
    watcher = watch()
    truths = []

    def names() -> dict[int, str]:
        known = watcher.native.status().counters["transactions"]
        truths.append(load(port, 1, 20))
        until(lambda: watcher.native.status().counters["transactions"] >= known + 40)
        return {}

    assert not [row for row in watcher.native.report(names) if row.port == port]
    watcher.check(port, truths[0])
    assert {row.service for row in watcher.seen if row.port == port and not row.is_client} == {str(pid)}


def test_a_paused_agent_sees_nothing_and_goes_on_later(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    port, _ = serve(PYTHON, HERE / "server.py")
    watcher = watch()
    watcher.native.pause(True)
    load(port, 1, 50)
    time.sleep(0.3)
    assert watcher.statuses(port, is_client=False) == {}
    watcher.native.pause(False)
    watcher.check(port, load(port, 1, 50))


@pytest.mark.parametrize("without", ["state", "owner", "files"])
def test_the_minimum_hook_set_is_enough(without: str, watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    port, _ = serve(PYTHON, HERE / "server.py")
    watcher = watch(without=(without,))
    truth = load(port, 2, 300)
    assert watcher.settle(port, truth, is_client=False) == truth.statuses


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_nginx_serves_files(watch: Callable[..., Watcher], tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    for number in range(200):
        (tmp_path / "orders" / str(number)).write_text("x" * 40_000)
    port = free_port()
    config = f"""daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error; events {{ }}
        http {{ access_log off; keepalive_requests 100000; sendfile on; server {{ listen 127.0.0.1:{port}; root {tmp_path}; }} }}"""
    (tmp_path / "nginx.conf").write_text(config)
    with server(["nginx", "-c", str(tmp_path / "nginx.conf")], port):
        watcher = watch()
        truth = load(port, 4, 200)
        watcher.check(port, truth)
        assert {name_service(watcher.pids[int(row.service)]).service for row in watcher.seen if row.port == port and not row.is_client} == {"nginx"}
