"""Plaintext within TLS: every request that was made is seen, by whichever way the library is used."""

import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.conftest import HERE, WAYS, Truth, Watcher, load
from tests.live.servers import build, program, proven, server, version
from tests.processes import free_port
from tests.waiting import until

PYTHON = sys.executable
Files = tuple[Path, Path]


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def watch(request: pytest.FixtureRequest, watch: Callable[..., Watcher]) -> Callable[..., Watcher]:
    """Every library is seen in either way."""
    return lambda **changed: watch(without=request.param, **changed)


GO = ["1.21.13", "1.22.12", "1.23.12", "1.24.9", "1.25.4", "1.26.8"]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pulka"


def openssl() -> str:
    return ssl.OPENSSL_VERSION.split()[1]


def is_the_linkers() -> bool:
    """Whether Python's OpenSSL is one that the dynamic linker knows, and not one of its own."""
    mapped = [line.split()[-1].removeprefix("/usr").encode() for line in Path("/proc/self/maps").read_text().splitlines() if "/libssl.so" in line]
    return any(path in Path("/etc/ld.so.cache").read_bytes() for path in mapped)


def test_sockets_of_python_on_both_ends(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files) -> None:
    port, _ = serve(PYTHON, HERE / "server.py", *certificate, "--threads")
    load(port, 1, 1, certificate[0])
    watcher = watch()
    truth = load(port, 4, 300, certificate[0])
    watcher.check(port, truth, tls=True)
    proven("tls", "OpenSSL", f"{openssl()}: Python, blocking sockets", truth.count)


def test_memory_of_asyncio_on_both_ends(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files) -> None:
    port, _ = serve(PYTHON, HERE / "server.py", *certificate)
    watcher = watch()
    truth = load(port, 4, 300, certificate[0], "--async")
    watcher.check(port, truth, tls=True)
    proven("tls", "OpenSSL", f"{openssl()}: Python, asyncio (memory BIO)", truth.count)


# Mounted where nobody else sees it, as a container's files are.
CONTAINED = """mount -t tmpfs none "$1" && cp "$2" "$1" && shift 2 && LD_LIBRARY_PATH="$0" exec "$@\""""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_library_that_only_its_process_sees(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files, tmp_path: Path) -> None:
    own = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libssl" in line)
    command = ["unshare", "-m", "sh", "-c", CONTAINED, tmp_path, tmp_path, own, PYTHON, HERE / "server.py", *certificate, "--threads"]
    port, _ = serve(*command)
    load(port, 1, 1, certificate[0])
    watcher = watch()
    truth = load(port, 4, 100, certificate[0])
    assert watcher.settle(port, truth, is_client=False, tls=True) == truth.statuses
    assert str(tmp_path / Path(own).name) in {path for path, _, trouble in watcher.native.libraries() if not trouble}
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_library_within_node(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files) -> None:
    port, _ = serve("node", HERE / "server.js", *certificate)
    watcher = watch()
    truth = load(port, 4, 300, certificate[0])
    assert watcher.settle(port, truth, is_client=False, tls=True) == truth.statuses
    if is_the_linkers():  # its client is the first to load it, and is seen from the first byte
        assert watcher.settle(port, truth, is_client=True, tls=True) == truth.statuses
    proven("tls", "OpenSSL", f"within Node.js {version('node', '--version')}", truth.count, "server")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_a_library_is_found_although_its_connection_is_over(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files) -> None:
    port, _ = serve(PYTHON, HERE / "server.py", *certificate, "--threads")
    watcher = watch(poll_ms=2000)
    ask = f"https.get({{ port: {port}, path: '/orders/1', agent: false, rejectUnauthorized: false }}, answer => answer.resume().on('end', () => console.log(0)))"
    serve("node", "-e", f"{ask}; setInterval(() => {{}}, 1000)")  # says a number once it has its answer
    until(lambda: [path for path, functions, _ in watcher.native.libraries() if path.endswith("/node") and functions], watcher.native.libraries, 10)


@pytest.mark.skipif(shutil.which("gnutls-serv") is None or shutil.which("wget") is None, reason="needs gnutls-bin and wget")
def test_gnutls_on_both_ends(watch: Callable[..., Watcher], certificate: Files, tmp_path: Path) -> None:
    """A connection per request: gnutls-serv answers and closes. Debian's wget is linked with GnuTLS."""
    port = free_port()
    serve = [program("gnutls-serv"), "--http", "-p", str(port), "--x509certfile", str(certificate[0]), "--x509keyfile", str(certificate[1])]
    ask = ["wget", "-q", "-O", os.devnull, "--tries=1", f"--ca-certificate={certificate[0]}"]
    with server(serve, port, stdin=subprocess.DEVNULL):
        subprocess.run([*ask, f"https://localhost:{port}/"], check=True)  # its library is known from now on
        watcher = watch()
        subprocess.run([*ask, *[f"https://localhost:{port}/orders/{number}" for number in range(60)]], check=True)
        truth = Truth({"200": 60}, 0)
        assert watcher.settle(port, truth, is_client=False, tls=True) == truth.statuses, watcher.native.libraries()
        assert watcher.settle(port, truth, is_client=True, tls=True) == truth.statuses, watcher.native.libraries()
    proven("tls", "GnuTLS", f"{version('gnutls-serv', '--version')}: gnutls-serv, wget", 60)


@pytest.mark.slow  # Go compiles its standard library the first time
@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
@pytest.mark.parametrize("release", GO)
def test_go(release: str, watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files, tmp_path: Path) -> None:
    binary = tmp_path / "shopd"
    env = os.environ | {"GO111MODULE": "off", "GOTOOLCHAIN": f"go{release}"}
    build("go", "build", "-o", binary, HERE / "server.go", env=env)
    port, _ = serve(binary, *certificate)
    watcher = watch()
    truth = load(port, 4, 300, certificate[0])
    assert watcher.settle(port, truth, is_client=False, tls=True) == truth.statuses
    assert watcher.settle(port, truth, is_client=True, tls=True) == truth.statuses
    proven("tls", "Go crypto/tls", release, truth.count)


@pytest.mark.slow  # built the first time
@pytest.mark.skipif(shutil.which("cargo") is None, reason="needs cargo")
@pytest.mark.parametrize("binary", ["rustlsd", "hyperd"], ids=["blocking", "hyper"])
def test_rustls(binary: str, watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files) -> None:
    target = CACHE / "live-rust"
    build("cargo", "build", "-q", "--release", "--locked", "--manifest-path", HERE / "rust" / "Cargo.toml", "--target-dir", target)
    port, _ = serve(target / "release" / binary, *certificate)
    watcher = watch()
    truth = load(port, 4, 300, certificate[0])
    assert watcher.settle(port, truth, is_client=False, tls=True) == truth.statuses, (watcher.native.libraries(), watcher.native.status().counters)
    proven("tls", "rustls", f"0.23: {'hyper 1, tokio-rustls 0.26' if binary == 'hyperd' else 'blocking sockets'}", truth.count, "server")


@pytest.mark.skipif(shutil.which("java") is None or shutil.which("openssl") is None, reason="needs a JDK and openssl")
def test_java_is_not_visible_and_that_is_said(watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]], certificate: Files, tmp_path: Path) -> None:
    keys = tmp_path / "keys.p12"
    make = ["openssl", "pkcs12", "-export", "-in", certificate[0], "-inkey", certificate[1], "-out", keys, "-passout", "pass:changeit"]
    subprocess.run(make, check=True, capture_output=True)
    port, pid = serve("java", HERE / "server.java", keys, "changeit")
    watcher = watch()
    load(port, 4, 10, certificate[0])
    found: dict[str, int] = {}

    def told() -> bool:
        for process, reason, count in watcher.native.opaque():
            if process == pid:
                found[reason] = found.get(reason, 0) + count
        return sum(found.values()) >= 4

    until(told, lambda: found, 10)
    assert all("encrypted" in reason for reason in found), found
    assert watcher.statuses(port, is_client=False, tls=True) == {}
