"""dnsmasq and BIND in a network namespace of their own, on port 53; truth is what dig was answered."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.live.servers import Observer, program, proven, version

ZONE = """$TTL 60
@ IN SOA ns hostmaster 1 60 60 60 60
@ IN NS ns
ns IN A 127.0.0.1
shop IN A 10.0.0.1
shop IN AAAA fd00::1
"""


def dnsmasq(home: Path) -> list[str]:
    hosts = ["--address=/shop.pulka.test/10.0.0.1", "--address=/shop.pulka.test/fd00::1", "--local=/pulka.test/", "--no-resolv", "--no-hosts"]
    return [program("dnsmasq"), "--no-daemon", "--user=root", "--conf-file=/dev/null", f"--pid-file={home}/pid", "--listen-address=127.0.0.1", "--bind-interfaces", *hosts]


def bind(home: Path) -> list[str]:
    (home / "zone").write_text(ZONE)
    (home / "named.conf").write_text(
        f'options {{ directory "{home}"; listen-on {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; pid-file "{home}/pid"; }};\n'
        f'zone "pulka.test" {{ type master; file "{home}/zone"; }};\n'
    )
    return [program("named", "bind9"), "-g", "-c", f"{home}/named.conf"]


@contextmanager
def namespace(name: str) -> Iterator[list[str]]:
    """A network namespace with nothing but loopback: the prefix to run within it."""
    ip = program("ip", "iproute2")
    subprocess.run([ip, "netns", "add", name], check=True)
    try:
        inside = [ip, "netns", "exec", name]
        subprocess.run([*inside, ip, "link", "set", "lo", "up"], check=True)
        yield inside
    finally:
        subprocess.run([ip, "netns", "delete", name], check=True)


QUESTIONS = [("shop.pulka.test", "A", "NOERROR"), ("shop.pulka.test", "AAAA", "NOERROR"), ("gone.pulka.test", "A", "NXDOMAIN")]


@pytest.mark.parametrize("begin", [dnsmasq, bind], ids=["dnsmasq", "bind"])
def test_names_are_asked_for(begin: Callable[[Path], list[str]], home: Path) -> None:
    with namespace(f"pulka-dns-{begin.__name__}") as inside:
        command = begin(home)
        running = subprocess.Popen([*inside, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        dig = [*inside, program("dig", "bind9-dnsutils"), "@127.0.0.1", "+tries=1", "+time=5"]
        agent = Observer(53)
        try:
            for _ in range(100):
                if subprocess.run([*dig, "ready.pulka.test"], capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.1)
            answered: Counter[tuple[str, str]] = Counter()
            for transport in ("+notcp", "+tcp"):
                for name, kind, expected in QUESTIONS * 7:
                    said = subprocess.run([*dig, transport, name, kind], capture_output=True, text=True, check=True).stdout
                    assert f"status: {expected}" in said
                    answered[kind, expected] += 1
            for end in (False, True):
                assert seen(agent, end, answered) == answered, agent.said
        finally:
            agent.stop()
            running.terminate()
            running.wait(20)
    proven("protocol", "dns", f"{begin.__name__} {version(command[0], '-v')}, over UDP and TCP", sum(answered.values()))


def seen(agent: Observer, is_client: bool, expected: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for _ in range(50):
        agent.ask()
        found = Counter()
        for (protocol, operation, target, status, _error), count in agent.red(is_client=is_client).items():
            if protocol == "dns" and "pulka.test" in target and "ready" not in target:
                found[operation, status] += count
        if found.total() >= expected.total():
            break
        time.sleep(0.2)
    return found
