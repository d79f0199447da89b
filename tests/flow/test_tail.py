"""Live tails of the real process: server-sent events, resumption over a kill, stuck readers, the end."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from tests.up import Up, cli, environment, ndjson
from tests.waiting import until

from pulka.surfaces.client.sse import Event, events

Start = Callable[..., Up]


@contextmanager
def tailing(up: Up, **question: Any) -> Iterator[Iterator[Event]]:
    headers = {"X-Pulka-Tenant": question.pop("tenant", "default"), **question.pop("headers", {})}
    with httpx.stream("GET", f"{up.url}/api/v1/tail", params=question, headers=headers, timeout=20) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response.iter_lines())


def rows(found: Iterator[Event], count: int) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    while len(seen) < count:
        event = next(found)
        if event.name == "rows":
            seen += event.data
    return seen


def subscribers(up: Up) -> float:
    return up.metric("pulka_tail_subscribers")


def test_events_as_they_come(start: Start) -> None:
    up = start(tail_heartbeat_s=0.2)
    up.ingest("logs", ndjson([{"n": 9}]), **{"X-Pulka-Tenant": "acme"})
    with tailing(up, search="level:error") as found, tailing(up, where="n >= 2", tenant="acme") as others:
        opened = next(found)
        assert (opened.name, opened.data["table"]) == ("open", "logs")
        assert "severity" in opened.data["sql"]
        assert next(others).name == "open"
        up.ingest("logs", ndjson([{"severity": "ERROR", "n": 1}, {"severity": "INFO", "n": 2}, {"severity": "ERROR", "n": 3, "http": {"status": 500}}]))
        assert [row["n"] for row in rows(found, 2)] == [1, 3]
        up.ingest("logs", ndjson([{"n": n} for n in range(4)]), **{"X-Pulka-Tenant": "acme"})
        assert [row["n"] for row in rows(others, 2)] == [2, 3]
        assert next(event for event in found if event.name != "rows").name == "heartbeat"
        assert subscribers(up) == 2
    until(lambda: not subscribers(up))


def test_resuming_after_a_flush_and_after_a_kill_loses_nothing(start: Start) -> None:
    up = start(flush_age_s=60)
    with tailing(up) as found:
        up.ingest("logs", ndjson([{"n": 0}]))
        event = next(one for one in found if one.name == "rows")
    up.ingest("logs", ndjson([{"n": 1}, {"n": 2}]))
    with tailing(up, headers={"Last-Event-ID": event.id}) as found:
        second = next(one for one in found if one.name == "rows")
        assert [row["n"] for row in second.data] == [1, 2]
    up.ingest("logs", ndjson([{"n": 3}]))
    up.kill()
    again = start(flush_age_s=60)
    again.ingest("logs", ndjson([{"n": 4}]))
    with tailing(again, after=second.id) as found:
        assert [row["n"] for row in rows(found, 2)] == [3, 4]
    with tailing(again, last=3) as found:
        assert [row["n"] for row in rows(found, 3)] == [2, 3, 4]


def test_bad_questions_and_too_many(start: Start) -> None:
    up = start(tail_subscribers_max=1)
    for question, status in (
        ({"table": "nothing"}, 404), ({"where": "servce = 1"}, 400), ({"search": "a:("}, 400), ({"where": "true", "search": ""}, 400), ({"after": "x"}, 400),
        ({"after": "99-1"}, 400), ({"last": -1}, 400),
    ):  # fmt: skip
        answer = up.client.get("/api/v1/tail", params=question)
        assert answer.status_code == status, (question, answer.text)
        assert answer.json()["hint"]
    with tailing(up) as found:
        next(found)
        answer = up.client.get("/api/v1/tail")
        assert (answer.status_code, "tail_subscribers_max" in answer.text) == (503, True)


def test_a_stuck_reader_is_told_what_it_missed(start: Start) -> None:
    up = start(tail_buffer_bytes_max=1_000_000, tail_rows_per_s=100_000)
    sent = 0
    with socket.create_connection(("127.0.0.1", int(up.url.rpartition(":")[2]))) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(b"GET /api/v1/tail HTTP/1.1\r\nHost: x\r\n\r\n")
        assert reader.recv(2000)
        for _ in range(30):  # far more than the buffers of the kernel take
            sent += 100
            up.ingest("logs", ndjson([{"message": "x" * 10_000, "n": n} for n in range(100)]))
        reader.settimeout(30)
        text = b""
        while b'"reason":"reader"' not in text:
            text += reader.recv(1 << 20)
    assert 0 < up.metric("pulka_tail_dropped_rows") < sent
    assert up.stop() == 0


def test_the_end_of_the_server_ends_the_tails(start: Start) -> None:
    up = start()
    seen: list[str] = []

    def read() -> None:
        with tailing(up) as found:
            seen.extend(event.name for event in found)

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: subscribers(up))
    assert up.stop() == 0
    reader.join(10)
    assert seen == ["open", "end"]


def test_the_command_goes_on_over_a_restart(start: Start) -> None:
    up = start()
    env = {**environment(up.state), "PULKA_URL": up.url}
    tail = subprocess.Popen([sys.executable, "-m", "pulka", "tail", "--json", "--count", "4"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: subscribers(up))
    up.ingest("logs", ndjson([{"n": 0}, {"n": 1}]))
    assert tail.stdout is not None
    seen = [tail.stdout.readline() for _ in range(2)]
    up.kill()
    again = start(port=int(up.url.rpartition(":")[2]))
    up.client.post("/api/v1/ingest/logs", content=ndjson([{"n": 2}, {"n": 3}]))
    out, err = tail.communicate(timeout=60)
    assert [json.loads(line)["n"] for line in [*seen, *out.splitlines()]] == [0, 1, 2, 3], err
    assert b"connecting again" in err
    assert again.process.poll() is None


def test_the_command(start: Start) -> None:
    up = start(flush_age_s=600)  # held however slow this machine is
    up.ingest("logs", ndjson([{"service": "web", "message": f"hello {n}"} for n in range(5)]))
    done = cli(up, "tail", "--search", "service:web", "--count", "3")
    assert (done.returncode, done.stdout.count("hello")) == (0, 3)
    assert cli(up, "tail", "--where", "servce = 'a'").returncode == 1
    assert cli(up, "tail", "--where", "true", "--search", "x").returncode == 2
