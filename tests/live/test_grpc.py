"""gRPC: unary calls, many at a time, failures and streams; truth is what the client was answered."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE
from tests.live.servers import proven, watched

grpc = pytest.importorskip("grpc")


def test_grpc(home: Path, serve: Callable[..., tuple[int, int]]) -> None:
    port, _ = serve(sys.executable, HERE / "grpc_shop.py", "serve")
    with watched(port, home) as seen:
        done = subprocess.run([sys.executable, HERE / "grpc_shop.py", "call", str(port)], capture_output=True, check=True, timeout=120)
    theirs = json.loads(done.stdout)
    ours = Counter(f"{row['operation']} {row['status']}" for row in seen.rows("grpc"))
    assert ours == theirs
    assert {row["error"] for row in seen.rows("grpc") if row["status"] == "UNAVAILABLE"} == {"UNAVAILABLE"}
    assert not any("secret" in str(row) for row in seen.rows("grpc"))
    proven("protocol", "grpc", f"grpcio {grpc.__version__}", sum(theirs.values()))
