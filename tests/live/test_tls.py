"""Plaintext within TLS: every request that was made is seen, by whichever way the library is used."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE, Watcher, load
from tests.live.test_plaintext import check

PYTHON = sys.executable
Files = tuple[Path, Path]


def test_sockets_of_python_on_both_ends(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files) -> None:
    port, _ = serve(PYTHON, HERE / "server.py", *certificate, "--threads")
    load(port, 1, 1, certificate[0])
    watcher = watch()
    check(watcher, port, load(port, 4, 300, certificate[0]), tls=True)


def test_memory_of_asyncio_on_both_ends(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files) -> None:
    port, _ = serve(PYTHON, HERE / "server.py", *certificate)
    watcher = watch()
    check(watcher, port, load(port, 4, 300, certificate[0], "--async"), tls=True)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_library_within_node(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files) -> None:
    port, _ = serve("node", HERE / "server.js", *certificate)
    watcher = watch()
    truth = load(port, 4, 300, certificate[0])
    assert watcher.settle(port, truth, is_client=False, tls=True) == truth.statuses


@pytest.mark.slow  # Go compiles its standard library the first time
@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_go(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files, tmp_path: Path) -> None:
    server = tmp_path / "shopd"
    subprocess.run(["go", "build", "-o", server, HERE / "server.go"], check=True, env=os.environ | {"GOFLAGS": "-mod=mod", "GO111MODULE": "off"})
    port, _ = serve(server, *certificate)
    watcher = watch()
    truth = load(port, 4, 300, certificate[0])
    assert watcher.settle(port, truth, is_client=False, tls=True) == truth.statuses
    assert watcher.settle(port, truth, is_client=True, tls=True) == truth.statuses
