"""What goes wrong on real machines: services that come and go, addresses that come again, more connections than there is room for, kernels that refuse."""

import os
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE, SETTINGS, Truth, Watcher, load
from tests.processes import free_port, has_ended
from tests.waiting import until

from pulka.edge import agent
from pulka.errors import Misconfigured

PYTHON = sys.executable


def test_a_service_that_dies_and_comes_back(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    """On the same port, killed in the middle of requests; each of its processes has what it answered."""
    port = free_port()
    watcher, truths, pids = watch(), [], []
    for _ in range(5):
        _, pid = serve(PYTHON, HERE / "server.py", "--threads", f"--port={port}")
        truths.append(load(port, 2, 100))
        pids.append(str(pid))
        time.sleep(4 * SETTINGS.poll_ms / 1000)  # who is gone before the agent's next look has no name
        os.kill(pid, 9)
        until(lambda pid=pid: has_ended(pid))
    total = Truth({status: sum(truth.statuses[status] for truth in truths) for status in truths[0].statuses}, 0)
    watcher.check(port, total)
    served: dict[str, int] = {}
    for row in watcher.seen:
        if row.port == port and not row.is_client:
            served[row.service] = served.get(row.service, 0) + row.count
    assert served == dict.fromkeys(pids, 200)


def test_addresses_and_ports_that_come_again(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    """The same four-tuple again and again, each time ended by a reset."""
    port, _ = serve(PYTHON, HERE / "server.py")
    source, watcher = free_port(), watch()
    client = f"""
        import socket, struct
        for number in range(300):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.bind(("127.0.0.1", {source}))
            sock.connect(("127.0.0.1", {port}))
            sock.sendall(b"GET /orders/1 HTTP/1.1\\r\\nHost: shop\\r\\n\\r\\n")
            answer = b""
            while not answer.endswith(b"hello"):
                answer += sock.recv(4096)
            sock.close()
    """
    subprocess.run([PYTHON, "-c", textwrap.dedent(client)], check=True)
    watcher.check(port, Truth({"200": 300}, 0))


CROWD = """
import resource, selectors, socket, sys
count, address = int(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
listener = socket.create_server((address, 0), backlog=1024)
pairs = []
for _ in range(count):
    client = socket.create_connection(listener.getsockname())
    pairs.append((client, listener.accept()[0]))
for client, server in pairs:
    client.sendall(b"GET /orders/1 HTTP/1.1\\r\\nHost: shop\\r\\n\\r\\n")
    server.recv(4096)
    server.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
    client.recv(4096)
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_fifty_thousand_connections_take_bounded_memory(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    """More than there is room for are counted as refused; those that were followed are, and what comes later is seen again."""
    watcher = watch(connections_max=20_000)
    before_kb = resident_kb()
    crowds = [subprocess.Popen([PYTHON, "-c", CROWD, "6250", f"127.0.0.{2 + number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for number in range(8)]
    for crowd in crowds:
        assert crowd.stdout is not None and crowd.stdout.readline()
    status = until(watcher.native.status, is_wanted=lambda status: status.counters["connections_refused"] > 50_000)  # of 100 000 ends
    assert status.connections <= 20_000
    assert resident_kb() - before_kb < 200 << 10
    for crowd in crowds:
        crowd.communicate()
    until(lambda: watcher.native.status().connections < 1000)
    port, _ = serve(PYTHON, HERE / "server.py")
    watcher.check(port, load(port, 2, 50))


def resident_kb() -> int:
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])


def refused_by_the_kernel(section: str) -> bytes:
    """The agent's object with an instruction that no kernel knows, at the start of the program in `section`."""
    data = bytearray(agent.programs())
    offset, size, count, names = struct.unpack_from("<Q", data, 40)[0], *struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, offset + size * index) for index in range(count)]
    for header in headers:
        start = headers[names][4] + header[0]
        if data[start : data.index(0, start)] == section.encode():
            data[header[4]] = 0xFF
            return bytes(data)
    raise AssertionError(f"{section} is not there")


PROGRAMS = [("state", "tp_btf/inet_sock_set_state"), ("owner", "tp_btf/tcp_sendmsg_locked"), ("files", "iter/task_file"), ("tls", "uprobe")]


@pytest.mark.parametrize(("feature", "section"), PROGRAMS, ids=[name for name, _ in PROGRAMS])
def test_a_feature_that_the_kernel_refuses_goes_alone_and_is_named(
    feature: str, section: str, watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = refused_by_the_kernel(section)
    monkeypatch.setattr(agent, "programs", lambda: broken)
    port, _ = serve(PYTHON, HERE / "server.py")
    watcher = watch()
    features = {one.name: one for one in watcher.native.status().features}
    lost = {name for name, one in features.items() if one.works is not True}
    assert lost == {feature} | ({"tls"} if feature == "owner" else set())  # the socket of a session comes from its owner
    assert "needs" in features[feature].reason
    truth = load(port, 2, 200)
    assert watcher.settle(port, truth, is_client=False) == truth.statuses


def test_without_iterators_and_owners_proc_tells_whose_sockets_are(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    """As on kernels before 5.12: who listens is known from /proc, whoever connects by itself."""
    port, pid = serve(PYTHON, HERE / "server.py")
    watcher = watch(without=("files", "owner"))
    truth = load(port, 2, 100)
    assert watcher.settle(port, truth, is_client=False) == truth.statuses
    assert watcher.settle(port, truth, is_client=True) == truth.statuses
    assert {row.service for row in watcher.seen if row.port == port and not row.is_client} == {str(pid)}


def test_without_bytes_the_agent_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = refused_by_the_kernel("cgroup_skb/egress")
    monkeypatch.setattr(agent, "programs", lambda: broken)
    with pytest.raises(Misconfigured, match="bytes needs cgroup v2"):
        agent.attach(SETTINGS)


def test_a_client_that_is_gone_at_once(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    """Requests whose answer nobody waits for do not stay."""
    port, _ = serve(PYTHON, HERE / "server.py")
    watcher = watch()
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(b"GET /orders/1 HTTP/1.1\r\nHost")
    load(port, 1, 10)

    def followed() -> int:
        watcher.collect()
        return watcher.native.status().connections

    until(followed, is_wanted=lambda count: count < 60)
