"""A real `pulka up` under measurement: its CPU, memory and metrics."""

import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_CPU_CLOCK = 2
"""Makes a clock of the CPU time of a process out of its id, in nanoseconds: what clock_getcpuclockid(3) does."""


def cpu_s(pid: int) -> float:
    """User and system CPU-seconds of a process and of all that it has started, also of those that have ended."""
    return time.clock_gettime(~pid << 3 | _CPU_CLOCK) + _ticks(pid, 13) + sum(_ticks(one, 11) + _ticks(one, 13) for one in family(pid)[1:])


def _ticks(pid: int, first: int) -> float:
    """Two fields of its `stat` that count CPU: user and system, from 11 its own, from 13 those of its children that were waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:  # it has just been waited for
        return 0.0
    return (int(fields[first]) + int(fields[first + 1])) * TICK_S


def family(pid: int) -> list[int]:
    """A process and all that it and they have started, as far as they live."""
    started: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            started.setdefault(int((folder / "stat").read_text().rpartition(")")[2].split()[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += started.get(one, [])
    return found


def rss_bytes(pid: int, peak: bool = False) -> int:
    """Resident memory of a process now, or its peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)" if peak else r"VmRSS:\s+(\d+)", status)[1]) * 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=300)


def post(connection: http.client.HTTPConnection, path: str, body: bytes | str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and answer, over a connection that stays open."""
    connection.request("POST", path, body, headers or {})
    response = connection.getresponse()
    return response.status, response.read()


def post_all(port: int, path: str, pieces: Iterable[bytes], clients: int, headers: dict[str, str]) -> list[bytes]:
    """Post all bodies over `clients` connections, again where the server is busy; the answers."""
    queue, answers, lock = iter(pieces), [], threading.Lock()

    def client() -> None:
        connection = connect(port)
        while True:
            with lock:
                body = next(queue, None)
            if body is None:
                return
            while True:
                try:
                    status, answer = post(connection, path, body, headers)
                except ConnectionError:  # closed while the next body was made; the connection opens again by itself
                    connection.close()
                    continue
                if status != 503:
                    break
                time.sleep(0.05)
            assert status == 200, answer[:500]
            answers.append(answer)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


class Server:
    """The process, its port, and what it has used so far."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, state: Path) -> None:
        self.process, self.port, self.state = process, port, state

    def cpu_s(self) -> float:
        """CPU-seconds of the process and of all that it has started."""
        return cpu_s(self.process.pid)

    def rss_bytes(self, peak: bool = False) -> int:
        """Resident memory now, or its peak."""
        return rss_bytes(self.process.pid, peak)

    def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        connection = connect(self.port)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        answer = response.read()
        assert response.status < 300, (response.status, answer[:500])
        return answer

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        text = self.request("GET", "/metrics").decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    def tables(self) -> dict[str, dict[str, object]]:
        """What /api/v1/tables says, by name."""
        return {table["name"]: table for table in json.loads(self.request("GET", "/api/v1/tables"))["tables"]}

    def fragments(self) -> list[str]:
        """The Parquet files that the catalog counts on."""
        return sorted(itertools.chain(*self.files().values()))

    def files(self) -> dict[str, list[str]]:
        """The same, by table."""
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PULKA_STATE_DIR": str(self.state)}
        command = [sys.executable, "-m", "pulka", "store", "ls", "--format", "ndjson"]
        listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        found: dict[str, list[str]] = {}
        for one in sorted(map(json.loads, listed.splitlines()), key=lambda one: one["file"]):
            found.setdefault(one["table"], []).append(one["file"])
        return found

    def send(self, path: str, pieces: Iterable[bytes], clients: int = 2, tenant: str = "default") -> int:
        """Post all bodies over `clients` connections; returns the rows acknowledged."""
        headers = {"Content-Type": "application/x-ndjson", "X-Pulka-Tenant": tenant}
        return sum(json.loads(answer)["rows"] for answer in post_all(self.port, path, pieces, clients, headers))

    def settle(self, timeout_s: float = 300, quiet_s: float = 15) -> None:
        """Wait until everything is in fragments and nothing is merged any more; a window of this very hour stays open."""
        end = time.monotonic() + timeout_s
        seen, since = None, time.monotonic()
        while time.monotonic() < end:
            buffered, pending, merges = (self.metric(f"pulka_{name}") for name in ("writer_buffered_bytes", "compaction_pending", "compaction_merges"))
            if seen != (buffered, pending, merges):
                seen, since = (buffered, pending, merges), time.monotonic()
            if buffered == 0 and (pending == 0 or time.monotonic() - since > quiet_s):
                return
            time.sleep(0.5)
        raise TimeoutError("the store did not settle")

    def query(self, sql: str, format_: str = "json") -> bytes:
        body = json.dumps({"sql": sql, "format": format_}).encode()
        return self.request("POST", "/api/v1/query", body, {"Content-Type": "application/json"})


@contextmanager
def server(state: str | None = None, **settings: object) -> Iterator[Server]:
    """Start `pulka up` in a directory of its own, or in `state`, and stop it afterwards."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        directory = state or stack.enter_context(tempfile.TemporaryDirectory(prefix="pulka-bench-"))
        environment = {
            **os.environ, "PYTHONPATH": str(SOURCE), "PULKA_STATE_DIR": directory, "PULKA_EDGE_ENABLED": "off",
            "PULKA_HTTP_LISTEN": f"127.0.0.1:{port}", "PULKA_OTLP_HTTP_LISTEN": "off",
            "PULKA_OTLP_GRPC_LISTEN": "off", "PULKA_LOG_LEVEL": "warning",
            "PULKA_QUERY_CACHE_BYTES_MAX": "0",  # the same question is asked again and again
            **{f"PULKA_{k.upper()}": str(v) for k, v in settings.items()},
        }  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "pulka", "up"], env=environment, stdout=subprocess.DEVNULL)
        found = Server(process, port, Path(directory))
        try:
            _wait(found)
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def _wait(found: Server) -> None:
    for _ in range(1200):
        try:
            found.request("GET", "/readyz")
            return
        except (OSError, AssertionError):
            assert found.process.poll() is None, "pulka up ended at once"
            time.sleep(0.1)
    raise TimeoutError("pulka up does not answer")
