"""Large bodies: only their beginning is copied, and what follows them on the connection is still understood."""

import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest
from tests.live.conftest import Truth, Watcher

PYTHON = sys.executable
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers["Content-Length"]))
        answer = b"y" * int(self.path.rpartition("/")[2])
        self.send_response(201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
CLIENT = """
import http.client, sys
port, sent, answered, count, chunked = map(int, sys.argv[1:])
connection = http.client.HTTPConnection("127.0.0.1", port)
body = b"x" * sent
for _ in range(count):
    if chunked:
        connection.request("POST", f"/{answered}", iter([body[: sent // 2], body[sent // 2 :]]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    else:
        connection.request("POST", f"/{answered}", body)
    assert len(connection.getresponse().read()) == answered
"""


@pytest.mark.parametrize("chunked", [0, 1], ids=["length", "chunked"])
@pytest.mark.parametrize(("sent", "answered"), [(10, 10), (70_000, 10), (10, 300_000), (1_300_000, 20), (5_000_000, 2_000_000)])
def test_requests_behind_large_bodies_are_seen(
    sent: int, answered: int, chunked: int, watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]
) -> None:
    port, _ = serve(PYTHON, "-c", textwrap.dedent(SERVER))
    watcher = watch()
    subprocess.run([PYTHON, "-c", CLIENT, *map(str, (port, sent, answered, 12, chunked))], check=True)
    truth = Truth({"201": 12}, 0)
    assert watcher.settle(port, truth, is_client=True) == truth.statuses, watcher.native.status().counters
    assert watcher.settle(port, truth, is_client=False) == truth.statuses, watcher.native.status().counters
    if not chunked:  # a length is known, and what is passed over within it is no loss
        assert watcher.native.status().counters["gaps"] == 0
