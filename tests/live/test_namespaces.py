"""Containers: services in network and mount namespaces of their own, and libraries that only those can reach."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE, Truth, Watcher, load
from tests.live.servers import program
from tests.live.test_dns import namespace
from tests.live.test_plaintext import check

Files = tuple[Path, Path]


def test_a_network_namespace(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    with namespace("pulka-net") as inside:
        port, pid = serve(*inside, sys.executable, HERE / "server.py")
        watcher = watch()
        done = subprocess.run([*inside, sys.executable, HERE / "load.py", str(port), "4", "200"], capture_output=True, check=True)
        truth = Truth(json.loads(done.stdout)["statuses"], 0)
        check(watcher, port, truth)
        assert {row.service for row in watcher.seen if row.port == port and not row.is_client} == {str(pid)}


def test_a_library_that_only_another_mount_namespace_has(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files, tmp_path: Path) -> None:
    """The path does not exist here; in the namespace it is a copy, another file than the library of this machine."""
    source = Path("/usr/lib/x86_64-linux-gnu")
    if not (source / "libssl.so.3").exists():
        pytest.skip("OpenSSL 3 is not installed")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    script = f"mount -t tmpfs none {hidden} && cp {source}/libssl.so.3 {source}/libcrypto.so.3 {hidden} && LD_LIBRARY_PATH={hidden} exec nginx -c {tmp_path}/nginx.conf"
    program("nginx")
    port = 18_733
    (tmp_path / "orders").mkdir()
    for number in range(200):
        (tmp_path / "orders" / str(number)).write_text("hello")
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; user root; pid {tmp_path}/pid; error_log {tmp_path}/error; events {{ }}\n"
        f"http {{ access_log off; keepalive_requests 100000; server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]}; root {tmp_path}; }} }}"
    )
    watcher = watch()
    running = subprocess.Popen([program("unshare"), "--mount", "sh", "-c", script])
    try:
        for _ in range(100):  # the first connection makes the library known
            subprocess.run([program("curl"), "-sk", f"https://127.0.0.1:{port}/orders/1"], capture_output=True, check=False)
            if any(path == f"{hidden}/libssl.so.3" for path, _functions, _trouble in watcher.native.libraries()):
                break
            time.sleep(0.1)
        assert not list(hidden.iterdir())
        watcher.collect()
        watcher.seen.clear()
        truth = load(port, 4, 150, certificate[0])
        assert watcher.settle(port, truth, is_client=False, tls=True) == truth.statuses, watcher.native.libraries()
        assert any(path == f"{hidden}/libssl.so.3" and functions for path, functions, _ in watcher.native.libraries()), watcher.native.libraries()
    finally:
        running.terminate()
        running.wait(20)


@pytest.mark.skipif(not os.path.exists("/proc/sys/kernel/ns_last_pid"), reason="needs checkpoint/restore in the kernel")
def test_a_pid_that_another_service_gets(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], tmp_path: Path) -> None:
    """In a pid namespace a number can be asked for: the second service has the first one's, and its own name."""
    for name in ("first", "second"):
        shutil.copy(HERE / "server.py", tmp_path / f"{name}.py")
    script = f"""
mount -t proc none /proc
for name in first second; do
  echo 4000 > /proc/sys/kernel/ns_last_pid
  {sys.executable} {tmp_path}/$name.py > {tmp_path}/$name.port & pid=$!
  while [ ! -s {tmp_path}/$name.port ]; do :; done
  echo "$(cat {tmp_path}/$name.port) $pid"
  read go
  kill -9 $pid; wait $pid
done
"""
    watcher = watch()
    outer = subprocess.Popen([program("unshare"), "--pid", "--fork", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert outer.stdin is not None and outer.stdout is not None
    inner = set()
    for name in ("first", "second"):
        port, pid = map(int, outer.stdout.readline().split())
        inner.add(pid)
        truth = load(port, 2, 50)
        assert watcher.settle(port, truth, is_client=False) == truth.statuses
        services = {int(row.service) for row in watcher.seen if row.port == port and not row.is_client}
        assert [Path(watcher.pids[service].argv[1]).stem for service in services] == [name]
        outer.stdin.write("go\n")
        outer.stdin.flush()
    outer.wait(20)
    assert inner == {4001}
