"""A real `pulka up` process on loopback."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from tests.processes import free_port
from tests.waiting import until

SOURCE = Path(__file__).parents[1] / "src"


@dataclass
class Up:
    process: subprocess.Popen[bytes]
    url: str
    state: Path
    log: Path
    grpc: str
    objects_url: str = ""

    @cached_property
    def client(self) -> httpx.Client:
        """One for all requests: making one takes 0.1 CPU-seconds where it reads the certificates that it does not need."""
        return httpx.Client(base_url=self.url, verify=False)

    def ingest(self, table: str, body: bytes, **headers: str) -> dict[str, Any]:
        answer = self.client.post(f"/api/v1/ingest/{table}", content=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return {**answer.json(), "duplicate": "Idempotent-Replayed" in answer.headers}

    def query(self, sql: str, **more: Any) -> list[dict[str, Any]]:
        answer = self.client.post("/api/v1/query", json={"sql": sql, "format": "json", **more}, timeout=60)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["rows"])

    def metric(self, name: str) -> float:
        """Of /metrics; one that is not there is an error."""
        found = re.search(rf"^{name} (\S+)$", self.client.get("/metrics").text, re.M)
        assert found is not None, name
        return float(found[1])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def environment(state: Path, **settings: object) -> dict[str, str]:
    given = {"state_dir": state, "otlp_http_listen": "off", "otlp_grpc_listen": "off", "edge_enabled": "off", **settings}
    return {**os.environ, "PYTHONPATH": str(SOURCE), **{f"PULKA_{name.upper()}": str(value) for name, value in given.items()}}


@contextmanager
def starting(scratch: Path) -> Iterator[Callable[..., Up]]:
    """start(**settings) runs `pulka up`; the same state directory in all of them unless given another. All are killed at the end."""
    running: list[Up] = []

    def run(state: Path | None = None, port: int = 0, **settings: object) -> Up:
        port, grpc_port = port or free_port(), free_port()
        log = scratch / f"up-{len(running)}.log"
        settings = {"otlp_grpc_listen": f"127.0.0.1:{grpc_port}", **settings}
        env = environment(state or scratch / "state", http_listen=f"127.0.0.1:{port}", **settings)
        with log.open("wb") as out:
            process = subprocess.Popen([sys.executable, "-m", "pulka", "up"], env=env, stderr=out, stdout=out)
        url, objects_url = f"http://127.0.0.1:{port}", str(settings.get("objects_url", ""))
        up = Up(process, url, state or scratch / "state", log, f"127.0.0.1:{grpc_port}", objects_url)
        running.append(up)
        wait_ready(up)
        return up

    try:
        yield run
    finally:
        for up in running:
            with contextlib.suppress(ProcessLookupError):
                up.kill()


def wait_ready(up: Up) -> None:
    def is_ready() -> bool:
        assert up.process.poll() is None, up.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return up.client.get("/readyz", timeout=5).is_success
        return False

    until(is_ready, up.log.read_text)


def cli(up: Up | None, *arguments: str, stdin: bytes = b"", **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the `pulka` command against a running lake."""
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "NO_COLOR": "1", **{f"PULKA_{k.upper()}": str(v) for k, v in settings.items()}}
    if up is not None:
        env |= {"PULKA_URL": up.url, "PULKA_STATE_DIR": str(up.state)}
    done = subprocess.run([sys.executable, "-m", "pulka", *arguments], env=env, input=stdin, capture_output=True, timeout=300)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def ndjson(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
