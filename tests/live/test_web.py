"""nginx and haproxy under h2load: HTTP/1 and HTTP/2, plain and within TLS; truth is what h2load counted."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.live.conftest import Truth
from tests.live.servers import Observer, Red, program, proven, server, version, watched
from tests.processes import free_port
from tests.waiting import latest

Files = tuple[Path, Path]


@contextmanager
def nginx(home: Path, port: int, files: Files | None = None, http2: bool = False) -> Iterator[None]:
    (home / "orders").mkdir(exist_ok=True)
    for number in range(20):
        (home / "orders" / str(number)).write_text("x" * (number * 2000 + 1))
    listen = f"listen 127.0.0.1:{port}{' ssl' if files else ''}{' http2' if http2 else ''};"
    keys = f"ssl_certificate {files[0]}; ssl_certificate_key {files[1]};" if files else ""
    config = home / f"nginx-{port}.conf"
    config.write_text(
        f"daemon off; user root; worker_processes 2; pid {home}/pid-{port}; error_log {home}/error; events {{ }}\n"
        f"http {{ log_format status '$status'; access_log {home}/access-{port} status; keepalive_requests 100000; server {{ {listen} {keys} root {home}; }} }}"
    )
    with server([program("nginx"), "-c", str(config)], port):
        yield


def h2load(*options: str, home: Path, port: int, scheme: str = "http", requests: int = 2000, back: int | None = None, sizes: int = 20) -> Truth:
    """Total by h2load, statuses by nginx's log: with pipelining h2load may count an answer twice."""
    log = home / f"access-{back or port}"
    log.write_text("")
    paths = [f"{scheme}://127.0.0.1:{port}/{'missing' if number % 7 == 0 else f'orders/{number % sizes}'}" for number in range(40)]
    done = subprocess.run([program("h2load", "nghttp2-client"), "-n", str(requests), *options, *paths], capture_output=True, text=True, check=True, timeout=120)
    total = re.search(r"(\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed", done.stdout)
    assert total and total.group(2) == str(requests), done.stdout
    told = latest(lambda: log.read_text().split(), lambda lines: len(lines) >= requests, 5)  # nginx tells of the last one after h2load has it
    truth = Truth(dict(Counter(told)), 0)
    assert truth.count == requests
    return truth


def statuses(red: Red, protocol: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (name, _operation, _target, status, _error), count in red.items():
        found[status] += count if name == protocol else 0
    return dict(found)


WAYS = [("http1", ["--h1", "-c", "4"]), ("http1", ["--h1", "-c", "4", "-m", "8"]), ("http2", ["-c", "4", "-m", "1"]), ("http2", ["-c", "4", "-m", "16"])]
NAMES = ["http1", "http1-pipelined", "http2", "http2-multiplexed"]


@pytest.mark.parametrize(("protocol", "options"), WAYS, ids=NAMES)
def test_nginx(protocol: str, options: list[str], home: Path) -> None:
    port = free_port()
    with nginx(home, port, http2=protocol == "http2"), watched(port, home) as seen:
        truth = h2load(*options, home=home, port=port, sizes=4 if "-m" in options else 20)  # many large answers at once are seen in part: see docs/design/edge.md
    assert statuses(seen.red(), protocol) == truth.statuses
    proven("protocol", protocol, f"nginx {version('nginx', '-v')}, h2load", truth.count)


@pytest.mark.parametrize(("protocol", "options"), WAYS[:1] + WAYS[2:], ids=[NAMES[0], *NAMES[2:]])
def test_nginx_within_tls(protocol: str, options: list[str], home: Path, certificate: Files) -> None:
    port = free_port()
    with nginx(home, port, certificate, http2=protocol == "http2"):
        h2load("--h1", "-c", "1", home=home, port=port, scheme="https", requests=1)
        with watched(port, home) as seen:
            truth = h2load(*options, home=home, port=port, scheme="https")
        plaintext = seen.plaintext(is_client=False)
    assert statuses(plaintext, protocol) == truth.statuses, (seen.agent.said["drops"], seen.agent.said["counters"])
    assert statuses(seen.plaintext(is_client=True), protocol) == truth.statuses
    handshakes = [sum(row[-1] for row in seen.agent.said["rows"] if row[0] == end and row[2] == "tls") for end in (True, False)]
    assert [len(seen.rows("tls")), *handshakes] == [4, 4, 4], "one for each of h2load's connections"
    proven("tls", "OpenSSL", f"{version('openssl', 'version')}: nginx, h2load", truth.count)
    proven("protocol", "tls", f"OpenSSL {version('openssl', 'version')}: nginx, h2load (TLS 1.3)", 4)


def test_connections_that_take_turns_within_tls(home: Path, certificate: Files) -> None:
    """One thread has many sessions, which take what an earlier call has received, and libraries give a session the address of one before."""
    port = free_port()
    with nginx(home, port, certificate, http2=True):
        h2load("--h1", "-c", "1", home=home, port=port, scheme="https", requests=1)
        with watched(port, home) as seen:
            truths = [h2load("-c", "16", "-m", "20", home=home, port=port, scheme="https") for _ in range(3)]
        plaintext = seen.plaintext(is_client=False), seen.plaintext(is_client=True)
    expected = {status: sum(truth.statuses[status] for truth in truths) for status in truths[0].statuses}
    assert [statuses(end, "http2") for end in plaintext] == [expected, expected], (seen.agent.said["drops"], seen.agent.said["counters"])


def test_haproxy_between_client_and_server(home: Path) -> None:
    """Both of a proxy's connections: it serves the one and asks on the other."""
    front, back = free_port(), free_port()
    config = home / "haproxy.cfg"
    config.write_text(
        f"global\n  maxconn 200\ndefaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s\n"
        f"frontend f\n  bind 127.0.0.1:{front}\n  default_backend b\nbackend b\n  server s 127.0.0.1:{back}\n"
    )
    with nginx(home, back), server([program("haproxy"), "-db", "-f", str(config)], front):
        behind = Observer(back)
        try:
            with watched(front, home) as seen:
                truth = h2load("--h1", "-c", "4", home=home, port=front, back=back)
            behind.ask()
        finally:
            behind.stop()
    assert statuses(seen.red(), "http1") == truth.statuses
    assert [statuses(behind.red(is_client=end), "http1") for end in (True, False)] == [truth.statuses, truth.statuses]
    proven("protocol", "http1", f"haproxy {version('haproxy', '-v')}", 2 * truth.count)
