"""The spool: what is put comes out whole and in order, also after a crash, within its budget; and what ships it."""

import gzip
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulka.edge.shipping import Receiver, Shipper
from pulka.edge.spool import Spool
from pulka.errors import Misconfigured
from pulka.testing.clock import FakeClock


def drained(spool: Spool) -> list[tuple[str, bytes]]:
    out = []
    while spooled := spool.oldest():
        out.append((spooled.signal, spooled.body()))
        spool.done(spooled)
    return out


def test_a_later_process_takes_up_what_is_left(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    for number in range(12):
        spool.put("metrics", b"%d" % number)
    (tmp_path / "000000000099.traces.partial").write_bytes(b"half")
    later = Spool(tmp_path, 1 << 20)
    later.put("traces", b"new")
    assert drained(later) == [*(("metrics", b"%d" % number) for number in range(12)), ("traces", b"new")]
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 400), max_size=30), budget=st.integers(100, 1000))
def test_the_newest_stay_within_the_budget(sizes: list[int], budget: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"), budget)
    for size in sizes:
        spool.put("metrics", b"x" * size)
        assert spool.held_bytes <= max(budget, size)
    kept = [len(body) for _, body in drained(spool)]
    assert kept == sizes[len(sizes) - len(kept) :]
    assert spool.dropped == len(sizes) - len(kept)


class Server:
    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[str, bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                status = outer.statuses.pop(0) if outer.statuses else 200
                if status == 200:
                    outer.got.append((self.path, body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


def shipper(spool: Spool, url: str) -> Shipper:
    receiver = Receiver(url, {}, 5)
    receiver.check()
    return Shipper(spool, receiver, FakeClock())


async def test_a_receiver_that_was_away_gets_everything_in_order(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    ship = shipper(Spool(tmp_path, 1 << 20), server.url)
    for number in range(3):
        ship.add("metrics", b"%d" % number)
    assert [await ship.drain(), await ship.drain()] == [False, False]
    assert "429" in ship.trouble and server.got == []
    assert await ship.drain()
    assert server.got == [("/v1/metrics", b"0"), ("/v1/metrics", b"1"), ("/v1/metrics", b"2")]
    assert (ship.sent, ship.trouble) == (3, "")


async def test_an_address_where_nobody_listens_loses_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    ship = shipper(spool, "http://127.0.0.1:9")
    ship.add("traces", b"{}")
    assert not await ship.drain()
    assert len(spool) == 1


async def test_what_is_refused_for_good_does_not_block_the_rest(server: Server, tmp_path: Path) -> None:
    server.statuses = [400]
    ship = shipper(Spool(tmp_path, 1 << 20), server.url + "/base/")
    ship.add("metrics", b"bad")
    ship.add("metrics", b"good")
    assert await ship.drain()
    assert server.got == [("/base/v1/metrics", b"good")] and (ship.sent, ship.refused) == (1, 1)


@pytest.mark.parametrize("url", ["", "localhost:4318", "ftp://x", "http://"])
def test_what_is_no_url_is_said_at_the_start(url: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        shipper(Spool(tmp_path, 1 << 20), url)
