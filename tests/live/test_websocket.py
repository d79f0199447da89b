"""WebSocket: messages, pings and closes; truth is what the client sent and received."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE
from tests.live.servers import proven, watched

PYTHON = "/usr/bin/python3"


def released() -> str:
    try:
        done = subprocess.run([PYTHON, "-c", "import websockets; print(websockets.__version__)"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("websockets is not installed: apt-get install python3-websockets")
    return done.stdout.strip()


def test_websocket(home: Path, serve: Callable[..., tuple[int, int]]) -> None:
    version = released()
    port, _ = serve(PYTHON, HERE / "websocket_chat.py", "serve")
    with watched(port, home) as seen:
        done = subprocess.run([PYTHON, HERE / "websocket_chat.py", "talk", str(port)], capture_output=True, check=True, timeout=120)
    theirs = Counter(json.loads(done.stdout))
    assert Counter(f"{row['operation']} {row['status'] or ''}".strip() for row in seen.rows("websocket")) == theirs
    proven("protocol", "websocket", f"websockets {version}", theirs.total())
