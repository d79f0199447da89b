"""Monitors on the real process: an alert by webhook and mail, history in the lake, and kill -9 while it is evaluated and sent."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from tests.processes import free_port
from tests.up import Up, cli, ndjson
from tests.waiting import until

from pulka.monitors.webhook import signature

Start = Callable[..., Up]
SECRET = "a secret of some length"
QUICK = {"monitor_interval_min_s": 1, "monitor_lease_s": 0.6}


class Receiver:
    """Keeps the messages it answers; the first of each kind it may refuse, as receivers do."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.failing = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(length := int(self.headers["Content-Length"]))
                if len(body) < length:
                    return  # the sender was killed while it sent
                if receiver.failing:
                    receiver.failing -= 1
                    self.send_error(503)
                    return
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/private/path"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self, monitor: str) -> list[dict[str, Any]]:
        return [body for _, raw in list(self.got) if (body := json.loads(raw))["monitor"] == monitor]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Box:
    def __init__(self) -> None:
        self.mails: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope.content.decode())
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Box, str]]:
    box = Box()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield box, f"smtp://127.0.0.1:{controller.port}"
    controller.stop()


def wait(for_what: Callable[[], object], what: str, seconds: float = 40) -> None:
    until(for_what, lambda: f"no sign of {what}", seconds)


def all_ok(up: Up, since: datetime) -> bool:
    """Whether windows that end after `since` were evaluated, and nothing was found in them."""
    monitors = up.client.get("/api/v1/monitors").json()["monitors"]
    return all(one["state"] == "ok" and datetime.fromisoformat(one["evaluated_at"]) > since for one in monitors)


def put(up: Up, name: str, **body: Any) -> dict[str, Any]:
    answer = up.client.put(f"/api/v1/monitors/{name}", json={"every": "1s", "delay": "0s", "window": "3s", **body}, timeout=30)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_alert_from_events_to_webhook_mail_and_history(start: Start, receiver: Receiver, mailbox: tuple[Box, str]) -> None:
    box, smtp_url = mailbox
    up = start(**QUICK, smtp_url=smtp_url, smtp_from="pulka@example.com")
    receiver.failing = 1
    made = put(
        up, "errors", search="level:error", by=["service"], alert=2, webhooks=[{"url": receiver.url, "secret": SECRET}], emails=["team@example.com"],
        message="See the runbook.",
    )  # fmt: skip
    assert made["webhooks"] == [{"url": receiver.url.partition("/private")[0] + "/…", "secret": "…"}]
    wait(lambda: up.client.get("/api/v1/monitors/errors").json()["evaluated_at"], "an evaluation")
    up.ingest("logs", ndjson([{"severity": "ERROR", "service": "web", "n": n} for n in range(5)] + [{"severity": "ERROR", "service": "db"}]))
    wait(lambda: len(receiver.told("errors")) >= 2 and len(box.mails) >= 2, "alert and recovery")
    states = [(change["state"], change["group"]["service"]) for told in receiver.told("errors") for change in told["changes"]]
    assert states == [("alert", "web"), ("ok", "web")]
    headers, body = receiver.got[0]
    assert headers["webhook-signature"] == signature(SECRET, headers["webhook-id"], headers["webhook-timestamp"], body)
    assert "Subject: errors: alert" in box.mails[0]
    assert "runbook" in box.mails[0]
    sql = "SELECT monitor, state, previous, told, group.service AS service, value FROM monitor_events WHERE kind = 'state' ORDER BY timestamp"
    wait(lambda: len(up.query(sql)) == 2, "history")
    assert [(row["monitor"], row["state"], row["previous"], row["service"]) for row in up.query(sql)] == [
        ("errors", "alert", "ok", "web"), ("errors", "ok", "alert", "web"),
    ]  # fmt: skip
    assert up.stop() == 0
    assert SECRET not in up.log.read_text()
    assert "private" not in up.log.read_text()


@pytest.mark.timeout(900)  # a process for each command
def test_the_command_line(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    up = start(**QUICK)
    up.ingest("logs", ndjson([{"severity": "ERROR", "service": "web", "n": 1}]))
    saved = cli(up, "saved", "save", "errors", "--search", "level:error", "--description", "what hurts")
    assert saved.returncode == 0, saved.stderr
    assert "web" in cli(up, "saved", "run", "errors").stdout
    assert json.loads(cli(up, "saved", "list", "--format", "json").stdout)[0]["description"] == "what hurts"
    made = cli(
        up, "monitor", "create", "errors", "--saved", "errors", "--by", "service", "--alert", ">= 1", "--every", "1s", "--webhook", receiver.url,
        "--format", "json", webhook_secret=SECRET,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert SECRET not in made.stdout + cli(up, "monitor", "show", "errors").stdout
    tried = json.loads(cli(up, "monitor", "test", "errors", "--notify", "--format", "json").stdout)
    assert [(row["group"], row["state"], row["value"]) for row in tried] == [({"service": "web"}, "alert", 1.0)]
    wait(lambda: [told for told in receiver.told("errors") if told["kind"] == "test"], "the test")
    assert "webhook-signature" in receiver.got[0][0]
    assert cli(up, "saved", "delete", "errors").returncode == 1
    assert cli(up, "monitor", "mute", "errors", "--for", "2h").returncode == 0
    listed = json.loads(cli(up, "monitor", "list", "--format", "json").stdout)
    assert listed[0]["muted_until"]
    assert "did you mean `errors`" in cli(up, "monitor", "show", "error").stderr
    assert cli(up, "monitor", "create", "x", "--search", "a", "--alert", "soon").returncode == 2
    assert "servce" in cli(up, "monitor", "create", "x", "--search", "servce:a", "--alert", "> 1").stderr
    assert "smtp_url" in cli(up, "monitor", "create", "x", "--search", "a", "--alert", "> 1", "--email", "a@example.com").stderr
    definition = tmp_path / "monitor.json"
    definition.write_text(json.dumps({"sql": "SELECT avg(n) AS value FROM logs", "alert": 5, "no_data": "notify"}))
    assert cli(up, "monitor", "create", "average", "--from", str(definition), "--every", "2s").returncode == 0
    assert "False" in cli(up, "monitor", "delete", "average", "--dry-run", "--format", "csv").stdout
    assert cli(up, "monitor", "delete", "average").returncode == 0
    assert cli(up, "monitor", "delete", "average").returncode == 1
    assert cli(up, "monitor", "delete", "errors").returncode == 0
    assert cli(up, "saved", "delete", "errors").returncode == 0
    assert "…" in cli(up, "config", "show", "--format", "csv", smtp_url="smtp://u:password@127.0.0.1").stdout


def test_kill_nine_loses_no_notification(start: Start, receiver: Receiver) -> None:
    """Whatever is committed as told was sent, at least once; and whoever stays in a state was told of it."""
    chance = random.Random(3)
    up = start(**QUICK)
    names = [f"m{n}" for n in range(5)]
    for name in names:
        put(up, name, search=f"service:{name}", alert=0, webhooks=[{"url": receiver.url}])
    for turn in range(8):
        receiver.failing = turn % 3
        up.ingest("logs", ndjson([{"service": chance.choice(names)} for _ in range(2)]))
        time.sleep(chance.uniform(0.2, 1.6))
        up.kill()
        up = start(**QUICK)
    quiet = datetime.now(UTC) + timedelta(seconds=4)  # windows that end later have no event
    wait(lambda: all_ok(up, quiet), "all being ok again")
    sql = "SELECT monitor, state, count(*) AS n FROM monitor_events WHERE told GROUP BY monitor, state"
    stable = [0, 0]

    def settled() -> bool:
        """All rows of history have their notification."""
        found = {(row["monitor"], row["state"]): row["n"] for row in up.query(sql)}
        ids = {body["id"]: (body["monitor"], body["changes"][0]["state"]) for name in names for body in receiver.told(name)}
        counts = {key: list(ids.values()).count(key) for key in found}
        stable[:] = [stable[1], len(ids)]
        return bool(found) and counts == found and stable[0] == stable[1]

    wait(settled, "a notification for each row of history", 60)
    found = {(row["monitor"], row["state"]): row["n"] for row in up.query(sql)}
    for name in names:
        assert found.get((name, "alert"), 0) == found.get((name, "ok"), 0), found  # each alert had its end told
