"""Webhooks to a real HTTP receiver, mails to a real SMTP server, both on loopback."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from tests.processes import free_port

from pulka.errors import BadInput, Misconfigured, Temporary
from pulka.monitors.mail import Mail
from pulka.monitors.telling import Entry
from pulka.monitors.webhook import Webhooks
from pulka.testing.clock import FakeClock

SECRET = "whsec_" + base64.b64encode(b"sixteen bytes at least").decode()


class Receiver:
    """Keeps what it gets; `status` is what it answers."""

    def __init__(self) -> None:
        self.status, self.got = 200, []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Location", f"{receiver.url}/elsewhere")
                self.end_headers()
                self.wfile.write(b"an answer nobody reads")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def entry(address: str, **more: Any) -> Entry:
    return Entry("id-1", "m", "webhook", '{"state":"alert é"}', 0, 0, address, **more)


async def send(receiver: Receiver, **more: Any) -> None:
    hooks = Webhooks(FakeClock(), 5)
    try:
        await hooks.send("acme", entry(f"{receiver.url}/hook", **more))
    finally:
        await hooks.close()


async def test_a_signed_message(receiver: Receiver) -> None:
    await send(receiver, secret=SECRET)
    ((path, headers, body),) = receiver.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"sixteen bytes at least", signed, hashlib.sha256).digest()).decode()
    assert (path, headers["webhook-signature"], headers["webhook-timestamp"]) == ("/hook", f"v1,{expected}", "1700000000")
    assert headers["Content-Type"] == "application/json"
    await send(receiver)
    assert "webhook-signature" not in receiver.got[1][1]


@pytest.mark.parametrize(("status", "error"), [(301, BadInput), (307, BadInput), (404, BadInput), (408, Temporary), (429, Temporary), (500, Temporary), (503, Temporary)])
async def test_other_answers(receiver: Receiver, status: int, error: type[Exception]) -> None:
    receiver.status = status
    with pytest.raises(error, match=str(status)):
        await send(receiver)
    assert [path for path, _, _ in receiver.got] == ["/hook"]  # a redirect is not followed


async def test_nobody_there() -> None:
    hooks = Webhooks(FakeClock(), 0.3)
    with pytest.raises(httpx.TransportError):
        await hooks.send("acme", entry("http://127.0.0.1:9/"))
    await hooks.close()


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content.decode()))
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, Any]]:
    box = Mailbox()
    accept = lambda server, session, envelope, mechanism, data: AuthResult(success=data.login == b"u" and data.password == b"p@ss")  # noqa: E731
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), authenticator=accept, auth_require_tls=False)
    controller.start()
    yield box, controller.port
    controller.stop()


async def test_a_mail(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    mail = Mail(f"smtp://u:p%40ss@127.0.0.1:{port}", "pulka@example.com", 5)
    await mail.send("acme", Entry("id-1", "m", "email", "alert: 9 é", 0, 0, "team@example.com", subject="m: alert\r\nBcc: x@y"))
    ((sender, to, text),) = box.mails
    assert (sender, to) == ("pulka@example.com", ["team@example.com"])
    assert "Subject: m: alert Bcc: x@y" in text
    assert "\nBcc:" not in text
    assert "X-Pulka-Notification: id-1" in text


@pytest.mark.parametrize(("answer", "error"), [("550 no such user", BadInput), ("451 later", Exception)])
async def test_a_server_that_refuses(mailbox: tuple[Mailbox, int], answer: str, error: type[Exception]) -> None:
    box, port = mailbox
    box.refuse = answer
    with pytest.raises(error) as caught:
        await Mail(f"smtp://127.0.0.1:{port}", "pulka@example.com", 5).send("acme", Entry("i", "m", "email", "x", 0, 0, "a@example.com"))
    assert isinstance(caught.value, BadInput) == (error is BadInput)


@pytest.mark.parametrize(
    ("url", "sender"), [("http://a", "a@b"), ("smtp://", "a@b"), ("smtp://a", "nobody"), ("smtp://u:p@mail.example.com", "a@b"), ("smtp://a:x", "a@b")]
)
def test_servers_that_cannot_be(url: str, sender: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Mail(url, sender, 1)
    assert "u:p" not in str(caught.value)
