"""The benchmark's way of measuring VictoriaLogs, with a program of a few lines in its place."""

import stat
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "bench"))

import victoria

STAND_IN = """
import http.server, json, pathlib, sys, threading, urllib.parse
flags = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
host, _, port = flags["httpListenAddr"].partition(":")
kept, lock = pathlib.Path(flags["storageDataPath"]) / "kept", threading.Lock()
kept.touch()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/insert/jsonline?"):
            given = urllib.parse.parse_qs(self.path.partition("?")[2])
            assert given["_time_field"] == ["timestamp,ts"], given
            with lock, kept.open("ab") as file:
                file.write(body)
            answer = b""
        else:
            assert urllib.parse.parse_qs(body.decode())["query"] == ["* | stats count() as n"]
            answer = json.dumps({"n": str(len(kept.read_bytes().splitlines()))}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


def test_all_rows_are_waited_for_and_what_they_took_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(victoria, "REST_S", 0.2)
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    pieces = [b'{"message":"a"}\n{"message":"b"}\n', b'{"message":"c"}'] * 10
    taken = victoria.measure([sys.executable, str(tmp_path / "stand_in.py")], [piece if piece.endswith(b"\n") else piece + b"\n" for piece in pieces], "timestamp,ts", timeout_s=30)
    assert taken.stored_bytes == sum(map(len, pieces)) + 10
    assert taken.cpu_s > 0
    assert taken.rss_bytes > 1 << 20


def test_a_program_that_ends_is_an_error_and_not_a_wait(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended with 3"):
        victoria.measure([sys.executable, "-c", "raise SystemExit(3)"], [b"{}\n"], "timestamp")


@pytest.mark.parametrize("name", victoria.NAMES)
def test_it_is_looked_for_on_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert victoria.binary() is None
    program = tmp_path / name
    program.touch()
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert victoria.binary() == str(program)
