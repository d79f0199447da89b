"""An agent in a process of its own that is killed while it watches."""

import os
import signal
import subprocess
import sys

from tests.live import kernel
from tests.live.conftest import HERE

AGENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.live.conftest import Watcher
watcher = Watcher(without=tuple(sys.argv[2:]))
print("attached", flush=True)
while True:
    watcher.collect()
    time.sleep(0.05)
"""


def start_agent(*without: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", AGENT, str(HERE.parents[1]), *without], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(HERE.parents[1] / "src")})
    assert process.stdout is not None and process.stdout.readline() == b"attached\n"
    return process


def kill_and_look(*without: str) -> None:
    agent = start_agent(*without)
    held = kernel.held(agent.pid)
    assert len(held[0]) >= 5 and len(held[1]) >= 5, held
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    assert kernel.are_gone(held), (held[0] & kernel.programs(), held[1] & kernel.links())
