"""Whatever ends the agent leaves nothing attached, and others' programs stay as they are."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live import kernel
from tests.live.conftest import HERE, Watcher, load
from tests.live.test_plaintext import check

PYTHON = sys.executable
AGENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.live.conftest import Watcher
watcher = Watcher()
print("attached", flush=True)
while True:
    watcher.collect()
    time.sleep(0.05)
"""


def start_agent() -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([PYTHON, "-c", AGENT, str(HERE.parents[1])], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(HERE.parents[1] / "src")})
    assert process.stdout is not None and process.stdout.readline() == b"attached\n"
    return process


def gone(held: tuple[set[int], set[int]]) -> bool:
    """The kernel frees programs a moment after their last user."""
    for _ in range(200):
        if not held[0] & kernel.programs() and not held[1] & kernel.links():
            return True
        time.sleep(0.05)
    return False


def kill_and_look() -> None:
    agent = start_agent()
    held = kernel.held(agent.pid)
    assert len(held[0]) >= 5 and len(held[1]) >= 5, held
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    assert gone(held), (held[0] & kernel.programs(), held[1] & kernel.links())


@pytest.mark.slow
def test_a_hundred_kills_under_load_leave_nothing(serve: Callable[..., tuple[int, int]], certificate: tuple[Path, Path]) -> None:
    port, pid = serve(PYTHON, HERE / "server.py", *certificate, "--threads")
    loading = subprocess.Popen([PYTHON, HERE / "load.py", str(port), "4", "18000", str(certificate[0]), "--rate", "200"], stdout=subprocess.PIPE)
    for _ in range(100):
        kill_and_look()
    said, _ = loading.communicate(timeout=600)
    assert loading.returncode == 0 and b"statuses" in said, "traffic must not notice"
    os.kill(pid, 0)


def test_a_kill_leaves_nothing() -> None:
    kill_and_look()


def test_stopping_detaches_everything(watch: Callable[..., Watcher]) -> None:
    before = kernel.held("self")
    watcher = watch()
    links = kernel.held("self")[1] - before[1]
    assert len(links) >= 5
    watcher.native.stop()
    assert gone((set(), links))


def test_two_agents_see_the_same(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    """Another agent's programs on the same hooks neither disturb ours nor are disturbed."""
    port, _ = serve(PYTHON, HERE / "server.py")
    other, watcher = watch(), watch()
    truth = load(port, 2, 200)
    check(watcher, port, truth)
    check(other, port, truth)
    watcher.native.stop()
    check_more = load(port, 2, 100)
    total = {status: count + truth.statuses[status] for status, count in check_more.statuses.items()}
    for _ in range(50):
        if other.statuses(port, is_client=False) == total:
            return
        time.sleep(0.1)
    pytest.fail(f"{other.statuses(port, is_client=False)} of {total}")


@pytest.mark.slow
def test_an_expensive_feature_is_detached_with_a_reason(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    port, _ = serve(PYTHON, HERE / "server.py")
    watcher = watch(cpu_share=1e-7)
    loading = subprocess.Popen([PYTHON, HERE / "load.py", str(port), "2", "20000", "--rate", "1000"], stdout=subprocess.PIPE)
    try:
        for _ in range(600):
            detached = [feature for feature in watcher.native.status().features if "edge_cpu_share" in feature.reason]
            if detached:
                break
            time.sleep(0.1)
        assert "bytes" in {feature.name for feature in detached}
        assert watcher.native.status().shares is not None
    finally:
        loading.kill()
        loading.wait()
