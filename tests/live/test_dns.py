"""dnsmasq and BIND in a network namespace of their own, on port 53; truth is what dig was answered."""

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.namespaces import namespace
from tests.live.servers import Observer, program, proven, version
from tests.waiting import latest, until

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


QUESTIONS = [("shop.pulka.test", "A", "NOERROR"), ("shop.pulka.test", "AAAA", "NOERROR"), ("gone.pulka.test", "A", "NXDOMAIN")]


@pytest.mark.parametrize("begin", [dnsmasq, bind], ids=["dnsmasq", "bind"])
def test_names_are_asked_for(begin: Callable[[Path], list[str]], home: Path) -> None:
    with namespace(f"pulka-dns-{begin.__name__}") as inside:
        command = begin(home)
        running = subprocess.Popen([*inside, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        dig = [*inside, program("dig", "bind9-dnsutils"), "@127.0.0.1", "+tries=1", "+time=5"]
        agent = Observer(53)
        try:
            until(lambda: subprocess.run([*dig, "ready.pulka.test"], capture_output=True, check=False).returncode == 0)
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
    def counted() -> Counter[tuple[str, str]]:
        agent.ask()
        found: Counter[tuple[str, str]] = Counter()
        for (protocol, operation, target, status, _error), count in agent.red(is_client=is_client).items():
            if protocol == "dns" and "pulka.test" in target and "ready" not in target:
                found[operation, status] += count
        return found

    return latest(counted, lambda found: found.total() >= expected.total(), 10)
