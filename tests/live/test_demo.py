"""The demo where the agent may run: a market without instrumentation is on the map, as far as this machine has its parts, and Ctrl-C ends all of it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.processes import free_port, free_ports, is_listening
from tests.up import SOURCE
from tests.waiting import until

from pulka.demo.market.parts import PARTS

NEEDS = {"prices": "node", "warehouse": "go", "reviews": "javac", "wallet": "openssl", "redis": "redis-server", "postgres": "initdb", "nginx": "nginx"}


@pytest.mark.slow
def test_the_market_is_on_the_map(tmp_path: Path) -> None:
    port, shop = free_port(), free_ports(20)
    scratch = Path(tempfile.mkdtemp(prefix="pulka-live-"))  # not pytest's own: PostgreSQL runs as another user
    scratch.chmod(0o755)
    own = {"PYTHONPATH": str(SOURCE), "TMPDIR": str(scratch), "PULKA_OTLP_HTTP_LISTEN": "off", "PULKA_OTLP_GRPC_LISTEN": "off", "PULKA_EDGE_INTERVAL_S": "2"}
    command = [sys.executable, "-m", "pulka", "demo", "--listen", f"127.0.0.1:{port}", "--shop-port", str(shop)]
    log = tmp_path / "demo.log"
    with log.open("wb") as out:
        demo = subprocess.Popen(command, env={**os.environ, **own}, stderr=out, stdout=out, start_new_session=True)
    try:
        opened = until(lambda: re.search(r"The market is open.*: (.+)", log.read_text()), log.read_text, 120).group(1)
        running = set(re.findall(r"(\w+) \(", opened))
        assert {"storefront", "shoppers"} <= running
        assert running >= {name for name, program in NEEDS.items() if shutil.which(program)}, log.read_text()
        url = f"http://127.0.0.1:{port}/api/v1/map"
        front = "nginx" if "nginx" in running else "storefront"
        peers = {"prices": "prices", "warehouse": "warehouse", "reviews": "Reviews", "wallet": "wallet", "redis": "redis-server", "postgres": "postgres"}
        wanted = {("shoppers", front), *(("storefront", service) for name, service in peers.items() if name in running)}

        def edges() -> dict[tuple[str, str], dict[str, Any]]:
            return {(one["client"], one["server"]): one for one in httpx.get(url, timeout=60).json()["edges"]}

        until(lambda: wanted <= set(edges()), log.read_text, 120)
        assert {edges()[key]["source"] for key in wanted} == {"agent"}
        until(lambda: edges().get(("frontend", "catalog"), {}).get("source") == "both", log.read_text, 120)  # the shop is told of by spans, too
        storefront = shop + 10 + list(PARTS).index("storefront")  # which every machine can run
        assert is_listening(storefront)
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
        assert demo.wait(60) == 0, log.read_text()
        assert not is_listening(storefront)
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
        left = list(scratch.iterdir())
        shutil.rmtree(scratch, ignore_errors=True)
    assert not left and "Traceback" not in log.read_text(), log.read_text()
