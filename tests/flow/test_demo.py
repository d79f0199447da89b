"""`pulka demo` as a newcomer meets it: the three queries it prints answer, and Ctrl-C leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.processes import free_port, free_ports
from tests.up import SOURCE, Up
from tests.waiting import until


def test_demo(tmp_path: Path) -> None:
    port, shop = free_port(), free_ports(20)
    own = {"PYTHONPATH": str(SOURCE), "TMPDIR": str(tmp_path), "PULKA_OTLP_HTTP_LISTEN": "off", "PULKA_OTLP_GRPC_LISTEN": "off", "PULKA_EDGE_ENABLED": "off"}
    env = {**os.environ, **own}
    command = [sys.executable, "-m", "pulka", "demo", "--listen", f"127.0.0.1:{port}", "--shop-port", str(shop)]
    log = tmp_path / "demo.log"
    with log.open("wb") as out:
        demo = subprocess.Popen(command, env=env, stderr=out, stdout=out, start_new_session=True)
    try:
        up = Up(demo, f"http://127.0.0.1:{port}", tmp_path, log, "")
        queries = printed(log, demo)
        assert len(queries) == 3
        services = {"frontend", "checkout", "payments", "stock", "catalog"}
        until(lambda: services <= {row["service"] for row in up.query(queries[0])}, log.read_text)
        for sql in queries:
            up.query(sql)
        until(lambda: up.query("SELECT count(DISTINCT name) AS n FROM metrics")[0]["n"] > 0, log.read_text)  # exported once per period
        assert up.query("SELECT count(*) AS n FROM logs WHERE trace_id IS NOT NULL")[0]["n"] > 0
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
        assert demo.wait(60) == 0, log.read_text()
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
    assert "Traceback" not in log.read_text() and "market" not in log.read_text()
    assert not list(tmp_path.glob("pulka-demo-*"))


def printed(log: Path, demo: "subprocess.Popen[bytes]") -> list[str]:
    until(lambda: demo.poll() is not None or log.read_text().count("pulka query") >= 4, log.read_text)
    return [sql for sql in re.findall(r'pulka query "(.+)"', log.read_text()) if sql.startswith("SELECT")]
