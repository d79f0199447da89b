"""DNS over UDP: who asked and who answered, whichever started first, with a socket for all questions or one for each."""

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.live.conftest import HERE, Watcher

ADDRESS = "127.53.0.1"


def ask(count: int, *options: str) -> int:
    """The process that asked."""
    done = subprocess.run([sys.executable, HERE / "dns_client.py", ADDRESS, str(count), *options], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout)


def told(watcher: Watcher, count: int) -> Counter[tuple[str, bool, str, str]]:
    """(service, is client, peer, status) once both ends are there."""
    for _ in range(50):
        rows = [row for row in watcher.collect() if row.protocol == "dns" and (row.address in ("", ADDRESS) or not row.is_client)]
        found: Counter[tuple[str, bool, str, str]] = Counter()
        for row in rows:
            found[row.service, row.is_client, row.peer, row.status] += row.count
        if sum(found.values()) >= 2 * count:
            break
        time.sleep(0.1)
    return found


def expected(client: int, server: int, count: int) -> dict[Any, int]:
    missing = (count + 4) // 5
    statuses = {"NXDOMAIN": missing, "NOERROR": count - missing}
    return {key: n for status, n in statuses.items() for key in ((str(client), True, str(server), status), (str(server), False, str(client), status)) for n in [n]}


@pytest.mark.parametrize("options", [(), ("--socket-each",)], ids=["one socket", "a socket each"])
@pytest.mark.parametrize("first", ["agent", "server"])
def test_who_asked_and_who_answered(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], options: tuple[str, ...], first: str) -> None:
    if first == "agent":
        watcher = watch()
        _, server = serve(sys.executable, HERE / "dns_server.py", ADDRESS)
    else:
        _, server = serve(sys.executable, HERE / "dns_server.py", ADDRESS)
        watcher = watch()
    client = ask(40, *options)
    assert told(watcher, 40) == expected(client, server, 40)


@pytest.fixture
def dnsmasq(tmp_path: Path) -> Iterator[int]:
    program = shutil.which("dnsmasq")
    if program is None:
        pytest.skip("needs dnsmasq")
    options = ["--no-daemon", "--no-resolv", "--no-hosts", "--bind-interfaces", f"--listen-address={ADDRESS}", "--address=/shop.example/10.0.0.1"]
    process = subprocess.Popen([program, *options, f"--pid-file={tmp_path / 'pid'}", "--user=root", "--conf-file=/dev/null"], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    yield process.pid
    process.kill()
    process.wait()


def test_dnsmasq_answers(watch: Callable[..., Watcher], dnsmasq: int) -> None:
    watcher = watch()
    client = ask(20)
    found = told(watcher, 20)
    assert {(service, is_client, peer) for service, is_client, peer, _ in found} == {(str(client), True, str(dnsmasq)), (str(dnsmasq), False, str(client))}
    assert sum(found.values()) == 40


SILENT = "import socket, sys, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 53)); print(0, flush=True); time.sleep(60)"
ASK = """
import os, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(3):
    sock.sendto(bytes([0, number, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + b"\\1a\\7example\\0\\0\\1\\0\\1", (sys.argv[1], 53))
time.sleep(1)  # it must be there to be asked for its name
print(os.getpid())
"""


@pytest.mark.slow  # a question has failed when nobody has said anything for ten seconds
@pytest.mark.parametrize("without", [(), ("files", "owner")], ids=["iterators", "proc"])
def test_a_server_that_answers_nothing(without: tuple[str, ...], watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    """It is known by its socket, which is older than the agent: from the kernel's open files, or from /proc."""
    _, server = serve(sys.executable, "-c", SILENT, ADDRESS)
    watcher = watch(without=without)
    client = int(subprocess.run([sys.executable, "-c", ASK, ADDRESS], capture_output=True, check=True).stdout)
    found: dict[tuple[str, bool, str], int] = {}
    for _ in range(150):
        found = {(row.service, row.is_client, row.error or ""): row.count for row in watcher.collect() if row.protocol == "dns" and row.target == "a.example"}
        if len(found) == 2:
            break
        time.sleep(0.1)
    assert found == {(str(client), True, "no_response"): 3, (str(server), False, "no_response"): 3}
