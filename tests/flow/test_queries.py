"""Queries on a real server: looked at and cancelled while they run, by id, by Ctrl-C and by hanging up; and nothing of them stays."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.processes import children, has_ended
from tests.up import SOURCE, Up, cli, ndjson
from tests.waiting import until

import pulka
from pulka.errors import Cancelled, NotFound

Start = Callable[..., Up]
HTTP = httpx.Client(timeout=100)
ENDLESS = "SELECT sum(a.n * b.n + c.n) FROM logs a, logs b, logs c WHERE a.secret <> 'hunter2'"
ROWS = [{"n": number, "secret": "x", "service": f"s{number % 5}"} for number in range(3000)]


@pytest.fixture
def up(start: Start) -> Up:
    up = start()
    up.ingest("logs", ndjson(ROWS))
    return up


def running(up: Up) -> list[dict[str, Any]]:
    return list(HTTP.get(f"{up.url}/api/v1/queries").json()["queries"])


def working(up: Up) -> list[dict[str, Any]]:
    return [one for one in running(up) if one["stage"] == "execute"]


def apart(up: Up) -> set[int]:
    """The processes of queries, which are children of the template."""
    return set[int]().union(*map(children, children(up.process.pid)))


def test_a_query_is_seen_and_cancelled_by_its_id(up: Up) -> None:
    told: list[httpx.Response] = []
    ask = {"sql": ENDLESS}, {"Pulka-Query-Id": "mine"}
    asking = threading.Thread(target=lambda: told.append(HTTP.post(f"{up.url}/api/v1/query", json=ask[0], headers=ask[1])))
    asking.start()
    (one,) = until(lambda: working(up))
    assert (one["id"], "hunter2" in one["sql"], one["running_s"] > 0) == ("mine", False, True)
    assert len(apart(up)) == 1
    other = {"X-Pulka-Tenant": "other"}
    assert HTTP.get(f"{up.url}/api/v1/queries", headers=other).json() == {"queries": []}
    assert HTTP.delete(f"{up.url}/api/v1/queries/mine", headers=other).status_code == 404
    assert HTTP.get(f"{up.url}/api/v1/queries/mine").json()["id"] == "mine"
    assert HTTP.delete(f"{up.url}/api/v1/queries/mine").status_code == 200
    asking.join(30)
    assert (told[0].status_code, told[0].json()["kind"]) == (409, "cancelled")
    until(lambda: not apart(up) and not running(up))
    assert HTTP.delete(f"{up.url}/api/v1/queries/mine").status_code == 404
    answer = HTTP.post(f"{up.url}/api/v1/query", json={"sql": "SELECT count(*) AS n FROM logs"}, headers={"Pulka-Query-Id": "next"})
    assert (answer.headers["Pulka-Query-Id"], answer.json()["stats"]["id"], answer.json()["rows"]) == ("next", "next", [{"n": 3000}])
    assert HTTP.post(f"{up.url}/api/v1/query", json={"sql": "SELECT 1"}, headers={"Pulka-Query-Id": "no id"}).status_code == 400


@pytest.mark.parametrize("sql", [ENDLESS, "SELECT n, repeat('x', 1000) AS t FROM logs ORDER BY t"])
def test_hanging_up_ends_a_query(up: Up, sql: str) -> None:
    body = json.dumps({"format": "ndjson", "sql": sql}).encode()
    with socket.create_connection(up.url.removeprefix("http://").split(":")) as caller:  # type: ignore[arg-type]
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.sendall(b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        until(lambda: working(up))
    until(lambda: not apart(up) and not running(up))


def test_nothing_outlives_a_killed_server(up: Up) -> None:
    """It has no time to end what it has started, so that sees by itself that it is gone."""

    def ask() -> None:
        with pytest.raises(httpx.TransportError):
            HTTP.post(f"{up.url}/api/v1/query", json={"sql": ENDLESS})

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: working(up))
    started = children(up.process.pid) | apart(up)
    assert len(started) == 2
    up.kill()
    asking.join(30)
    until(lambda: all(map(has_ended, started)))


def test_a_query_after_the_template_was_killed(up: Up) -> None:
    join = {"sql": "SELECT count(*) AS n FROM logs a JOIN logs b ON a.n = b.n + 1 JOIN logs c ON b.n = c.n"}
    assert HTTP.post(f"{up.url}/api/v1/query", json=join).json()["rows"] == [{"n": 2999}]
    (template,) = children(up.process.pid)
    os.kill(template, signal.SIGKILL)
    assert HTTP.post(f"{up.url}/api/v1/query", json=join).json()["rows"] == [{"n": 2999}]
    assert not children(up.process.pid) & {template}
    assert up.stop() == 0


def test_ctrl_c_cancels_on_the_server(up: Up) -> None:
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "PULKA_URL": up.url}
    command = [sys.executable, "-m", "pulka", "query", "--progress", ENDLESS]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
        until(lambda: working(up))
        listed = cli(up, "queries", "list", "--format", "csv").stdout
        assert "execute" in listed and "hunter2" not in listed
        assert asking.stderr is not None
        assert "fragments" in asking.stderr.readline()
        asking.send_signal(signal.SIGINT)
        assert asking.wait(30) == 130
    until(lambda: not apart(up) and not running(up))


def test_the_command_line_cancels_what_another_asked(up: Up) -> None:
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "PULKA_URL": up.url, "NO_COLOR": "1"}
    with subprocess.Popen([sys.executable, "-m", "pulka", "query", ENDLESS], env=env, stderr=subprocess.PIPE, text=True) as asking:
        (one,) = until(lambda: working(up))
        assert cli(up, "queries", "cancel", one["id"]).returncode == 0
        told = asking.communicate(timeout=30)[1]
    assert (asking.returncode, "was cancelled" in told) == (1, True)
    assert cli(up, "queries", "cancel", one["id"]).returncode == 1


def test_python_cancels(up: Up) -> None:
    with pulka.connect(up.url) as asking, pulka.connect(up.url) as stopping:
        raised: list[Exception] = []

        def ask() -> None:
            try:
                asking.sql(ENDLESS, query_id="from-python")
            except Cancelled as error:
                raised.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: [one for one in stopping.queries() if one["stage"] == "execute"])
        assert stopping.cancel("from-python")["id"] == "from-python"
        thread.join(30)
        assert len(raised) == 1
        with pytest.raises(NotFound):
            stopping.cancel("from-python")


def test_the_same_question_twice_over_fragments(start: Start) -> None:
    up = start(flush_age_s=0.1)
    up.ingest("logs", ndjson(ROWS))
    until(lambda: HTTP.get(f"{up.url}/api/v1/tables").json()["tables"][0]["fragments"])
    ask = {"sql": "SELECT service, count(*) AS n FROM logs GROUP BY service ORDER BY service"}
    first, again = (HTTP.post(f"{up.url}/api/v1/query", json=ask).json() for _ in range(2))
    assert first["rows"] == again["rows"]
    assert (first["stats"]["cached"], again["stats"]["cached"], again["stats"]["bytes_scanned"]) == (False, True, 0)
    up.ingest("logs", ndjson(ROWS[:1]))
    assert sum(row["n"] for row in up.query(ask["sql"])) == 3001
