"""Whatever ends the agent leaves nothing attached, and others' programs stay as they are."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live import kernel
from tests.live.conftest import HERE, WAYS, Truth, Watcher, load
from tests.live.killing import kill_and_look
from tests.waiting import until

PYTHON = sys.executable


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


@pytest.mark.parametrize("without", WAYS.values(), ids=WAYS)
def test_a_kill_leaves_nothing_in_a_library(without: tuple[str, ...], serve: Callable[..., tuple[int, int]], certificate: tuple[Path, Path]) -> None:
    port, _ = serve(PYTHON, HERE / "server.py", *certificate, "--threads")
    load(port, 1, 1, certificate[0])  # its library is known from now on
    kill_and_look(*without)
    load(port, 2, 50, certificate[0])


def test_stopping_detaches_everything(watch: Callable[..., Watcher]) -> None:
    before = kernel.held("self")
    watcher = watch()
    links = kernel.held("self")[1] - before[1]
    assert len(links) >= 5
    watcher.native.stop()
    assert kernel.are_gone((set(), links))


def test_two_agents_see_the_same(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    """Another agent's programs on the same hooks neither disturb ours nor are disturbed."""
    port, _ = serve(PYTHON, HERE / "server.py")
    other, watcher = watch(), watch()
    truth = load(port, 2, 200)
    watcher.check(port, truth)
    other.check(port, truth)
    watcher.native.stop()
    check_more = load(port, 2, 100)
    total = {status: count + truth.statuses[status] for status, count in check_more.statuses.items()}
    assert other.settle(port, Truth(total, 0), is_client=False) == total


@pytest.mark.slow
def test_an_expensive_feature_is_detached_with_a_reason(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    port, _ = serve(PYTHON, HERE / "server.py")
    watcher = watch(cpu_share=1e-7)
    loading = subprocess.Popen([PYTHON, HERE / "load.py", str(port), "2", "20000", "--rate", "1000"], stdout=subprocess.PIPE)
    try:
        detached = until(lambda: [feature for feature in watcher.native.status().features if "edge_cpu_share" in feature.reason])
        assert "bytes" in {feature.name for feature in detached}
        assert watcher.native.status().shares is not None
    finally:
        loading.kill()
        loading.wait()


@pytest.mark.slow
@pytest.mark.parametrize("without", WAYS.values(), ids=WAYS)
def test_expensive_programs_of_tls_are_detached(
    without: tuple[str, ...], watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: tuple[Path, Path]
) -> None:
    """The cost of either way's programs is known."""
    port, _ = serve(PYTHON, HERE / "server.py", *certificate, "--threads")
    load(port, 1, 1, certificate[0])
    watcher = watch(cpu_share=1e-7, without=without)
    loading = subprocess.Popen([PYTHON, HERE / "load.py", str(port), "2", "20000", str(certificate[0]), "--rate", "500"], stdout=subprocess.PIPE)
    try:
        held = kernel.held("self")[1]
        until(lambda: {feature.name for feature in watcher.native.status().features if "edge_cpu_share" in feature.reason}, is_wanted=lambda names: "tls" in names)
        gone = held - kernel.held("self")[1]
        assert gone and kernel.are_gone((set(), gone))
    finally:
        loading.kill()
        loading.wait()
