"""The demo's market by itself: what is missing here is said, the rest answers, and all of it ends when its input does."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.processes import free_ports, is_listening
from tests.up import SOURCE
from tests.waiting import until


def test_a_market_with_little_to_run_on(tmp_path: Path) -> None:
    first = free_ports(10)
    (tmp_path / "bin").mkdir()
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "TMPDIR": str(tmp_path), "PATH": str(tmp_path / "bin")}
    command = [sys.executable, "-m", "pulka.demo.market", str(first)]
    market = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        assert market.stdin is not None and market.stderr is not None
        opened = market.stderr.readline().decode()
        assert "storefront (Python)" in opened and "shoppers" in opened and "prices" not in opened
        missing = [market.stderr.readline().decode() for _ in range(5)]
        assert any("without prices: node is not on PATH" in line for line in missing), missing
        storefront = f"http://127.0.0.1:{first + 6}"
        for path in ("/", "/basket"):
            with urllib.request.urlopen(storefront + path, timeout=20) as answer:
                assert answer.status == 200
        market.stdin.close()
        assert market.wait(60) == 0
        until(lambda: not is_listening(first + 6), lambda: "the storefront is still there")
    finally:
        if market.poll() is None:
            market.kill()
            market.wait()
    assert not list(tmp_path.glob("pulka-demo-*"))
