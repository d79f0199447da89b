"""gRPC: unary calls, many at a time, failures and streams; truth is what the client was answered."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE
from tests.live.servers import Red, program, proven, version, watched

CODES = {"OK": "OK", "NotFound": "NOT_FOUND", "Unavailable": "UNAVAILABLE"}


def test_grpc(home: Path, serve: Callable[..., tuple[int, int]]) -> None:
    grpc = pytest.importorskip("grpc")
    port, _ = serve(sys.executable, HERE / "grpc_shop.py", "serve")
    with watched(port, home) as seen:
        done = subprocess.run([sys.executable, HERE / "grpc_shop.py", "call", str(port)], capture_output=True, check=True, timeout=120)
    theirs = json.loads(done.stdout)
    ours = Counter(f"{row['operation']} {row['status']}" for row in seen.rows("grpc"))
    assert ours == theirs
    assert {row["error"] for row in seen.rows("grpc") if row["status"] == "UNAVAILABLE"} == {"UNAVAILABLE"}
    assert not any("secret" in str(row) for row in seen.rows("grpc"))
    proven("protocol", "grpc", f"grpcio {grpc.__version__}", sum(theirs.values()))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server and client in Go."""
    binary = tmp_path_factory.mktemp("go") / "shop"
    built = subprocess.run([program("go", "golang"), "build", "-C", HERE / "grpc_go", "-o", binary, "."], capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"tests/live/grpc_go cannot be built here: {built.stderr.strip().splitlines()[-1]}")
    return binary


def called(shop: Path, port: int, *files: Path) -> Counter[str]:
    done = subprocess.run([shop, "call", str(port), *files], capture_output=True, check=True, timeout=120)
    calls = {operation.rsplit(" ", 1)[0] + " " + CODES[operation.rsplit(" ", 1)[1]]: count for operation, count in json.loads(done.stdout).items()}
    return Counter(calls)


def calls(red: Red) -> Counter[str]:
    found: Counter[str] = Counter()
    for (protocol, operation, _target, status, _error), count in red.items():
        found[f"{operation} {status}"] += count if protocol == "grpc" else 0
    return +found


def release() -> str:
    required = (HERE / "grpc_go" / "go.mod").read_text()
    return next(line.split()[-1].lstrip("v") for line in required.splitlines() if "google.golang.org/grpc " in line)


@pytest.mark.slow  # built the first time
def test_grpc_of_go(shop: Path, home: Path, serve: Callable[..., tuple[int, int]]) -> None:
    port, _ = serve(shop, "serve")
    with watched(port, home) as seen:
        theirs = called(shop, port)
    assert calls(seen.red()) == theirs
    proven("protocol", "grpc", f"grpc-go {release()}", theirs.total())


@pytest.mark.slow
def test_grpc_of_go_within_tls(shop: Path, home: Path, serve: Callable[..., tuple[int, int]], certificate: tuple[Path, Path]) -> None:
    port, _ = serve(shop, "serve", *certificate)
    called(shop, port, certificate[0])  # client and server are one file, which is known from now on
    with watched(port, home) as seen:
        theirs = called(shop, port, certificate[0])
    assert calls(seen.plaintext(is_client=False)) == theirs, (seen.agent.said["libraries"], seen.agent.said["drops"])
    assert calls(seen.plaintext(is_client=True)) == theirs
    proven("tls", "Go crypto/tls", f"{version('go', 'version')}: grpc-go {release()}", theirs.total())
