"""Containers: services in network and mount namespaces of their own, and libraries that only those can reach."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.live.conftest import HERE, Truth, Watcher, load
from tests.live.namespaces import namespace
from tests.live.servers import build, program
from tests.processes import free_port
from tests.waiting import until

Files = tuple[Path, Path]
GO_CLIENT = """
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for request := 0; request < 101; request++ {
		answer, err := client.Get("https://127.0.0.1:" + os.Args[1] + "/orders/1")
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if request == 0 {
			client.CloseIdleConnections() // what waits for an answer while its function is probed is not told of
			fmt.Println("ready")
			os.Stdin.Read(make([]byte, 1))
		}
	}
}
"""

def test_a_network_namespace(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    with namespace("pulka-net") as inside:
        port, pid = serve(*inside, sys.executable, HERE / "server.py")
        watcher = watch()
        done = subprocess.run([*inside, sys.executable, HERE / "load.py", str(port), "4", "200"], capture_output=True, check=True)
        truth = Truth(json.loads(done.stdout)["statuses"], 0)
        watcher.check(port, truth)
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
    port = free_port()
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

        def is_known() -> bool:
            """A handshake makes it so."""
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as plain, ssl._create_unverified_context().wrap_socket(plain):
                pass
            return any(path == f"{hidden}/libssl.so.3" for path, _functions, _trouble in watcher.native.libraries())

        until(is_known)
        assert not list(hidden.iterdir())
        watcher.collect()
        watcher.seen.clear()
        truth = load(port, 4, 150, certificate[0])
        assert watcher.settle(port, truth, is_client=False, tls=True) == truth.statuses, watcher.native.libraries()
        assert any(path == f"{hidden}/libssl.so.3" and functions for path, functions, _ in watcher.native.libraries()), watcher.native.libraries()
    finally:
        running.terminate()
        running.wait(20)


@pytest.mark.slow  # Go compiles its standard library the first time
@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_one_file_on_two_mounts(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files, tmp_path: Path) -> None:
    """Two containers of one image: each process is told of once, although the kernel has one file and so runs the probes of both."""
    image, empty = tmp_path / "image", tmp_path / "empty"
    mounts = [tmp_path / "one", tmp_path / "two"]
    for directory in (image, empty, *mounts):
        directory.mkdir()
    (tmp_path / "client.go").write_text(GO_CLIENT)
    build("go", "build", "-o", image / "client", tmp_path / "client.go", env=os.environ | {"GO111MODULE": "off", "GOTOOLCHAIN": "local"})
    port, _ = serve(sys.executable, HERE / "server.py", *certificate, "--threads")
    watcher = watch()
    running: list[subprocess.Popen[bytes]] = []
    try:
        for mount in mounts:
            subprocess.run([program("mount"), "-t", "overlay", "overlay", "-o", f"lowerdir={image}:{empty}", mount], check=True)
            running.append(subprocess.Popen([mount / "client", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for client in running:
            assert client.stdout is not None and client.stdout.readline() == b"ready\n"
        until(lambda: len([path for path, functions, _ in watcher.native.libraries() if path.endswith("/client") and functions]) == 2, watcher.native.libraries)
        watcher.collect()
        watcher.seen.clear()
        for client in running:
            client.communicate(b"\n", timeout=60)
        truth = Truth({"200": 200}, 0)
        assert watcher.settle(port, truth, is_client=True, tls=True) == truth.statuses
    finally:
        for client in running:
            client.kill()
            client.wait()
        for mount in mounts:
            subprocess.run([program("umount"), "--lazy", mount], check=False)  # what is probed is held


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
