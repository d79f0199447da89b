"""Other agents' programs on the same hooks: neither they nor we change, replace or delete what is not ours."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.live import kernel
from tests.live.conftest import HERE, SETTINGS, Truth, Watcher, load
from tests.live.killing import kill_and_look
from tests.live.namespaces import namespace
from tests.live.servers import program

from pulka.edge import agent
from pulka.errors import Misconfigured

FOREIGN = """
#define SEC(name) __attribute__((section(name), used))
SEC("tc") int foreign_tc(void *skb) { return 0; }
SEC("cgroup_skb/egress") int foreign_egress(void *skb) { return 1; }
char licence[] SEC("license") = "GPL";
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Somebody else's object."""
    pytest.importorskip("ziglang")
    (tmp_path / "foreign.c").write_text(FOREIGN)
    command = [sys.executable, "-m", "ziglang", "cc", "--target=bpfel-freestanding", "-O2", "-c", str(tmp_path / "foreign.c"), "-o", str(tmp_path / "foreign.o")]
    subprocess.run(command, check=True)
    return tmp_path / "foreign.o"


def filters(inside: list[str]) -> object:
    done = subprocess.run([*inside, program("tc", "iproute2"), "-j", "filter", "show", "dev", "lo", "egress"], capture_output=True, text=True, check=True)
    return [(one.get("pref"), one["options"]["handle"], one["options"]["prog"]["id"]) for one in json.loads(done.stdout) if "options" in one]


def test_a_filter_with_the_first_handle_stays(foreign: Path, watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    """In 2022 two agents took the same handle and priority on the same device, and each removed the other's filter and its queueing discipline."""
    with namespace("pulka-tc") as inside:
        tc = [*inside, program("tc", "iproute2")]
        subprocess.run([*tc, "qdisc", "add", "dev", "lo", "clsact"], check=True)
        subprocess.run([*tc, "filter", "add", "dev", "lo", "egress", "prio", "1", "handle", "1", "bpf", "da", "obj", foreign, "sec", "tc"], check=True)
        before = filters(inside)
        assert before
        kill_and_look()
        watcher = watch()
        port, _ = serve(*inside, sys.executable, HERE / "server.py")
        assert filters(inside) == before
        done = subprocess.run([*inside, sys.executable, HERE / "load.py", str(port), "2", "100"], capture_output=True, check=True)
        assert sum(watcher.settle(port, truth_of(done.stdout), is_client=False).values()) == 200
        watcher.native.stop()
        assert filters(inside) == before


def truth_of(said: bytes) -> Truth:
    return Truth(json.loads(said)["statuses"], 0)


def root() -> str:
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return next(fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2")


@contextmanager
def attached(foreign: Path, *flags: str) -> Iterator[int]:
    """The foreign program at the root of the cgroup tree, as `bpftool` attaches it: id of the program."""
    bpftool, pin = program("bpftool"), Path("/sys/fs/bpf")
    mounted = subprocess.run(["mountpoint", "-q", str(pin)], check=False).returncode == 0
    if not mounted:
        subprocess.run(["mount", "-t", "bpf", "none", str(pin)], check=True)
    name = pin / "pulka-test-foreign"
    try:
        subprocess.run([bpftool, "prog", "loadall", str(foreign), str(name)], check=True)
        shown = json.loads(subprocess.run([bpftool, "-j", "prog", "show", "pinned", str(name / "foreign_egress")], check=True, capture_output=True).stdout)
        made = subprocess.run([bpftool, "cgroup", "attach", root(), "cgroup_inet_egress", "id", str(shown["id"]), *flags], capture_output=True, text=True, check=False)
        if made.returncode and any("egress" in one["attach_type"] for one in shown_at_root()):
            pytest.skip("the root of the cgroup tree is somebody else's already")
        assert made.returncode == 0, made.stderr
        try:
            yield shown["id"]
        finally:
            subprocess.run([bpftool, "cgroup", "detach", root(), "cgroup_inet_egress", "id", str(shown["id"])], check=True)
    finally:
        subprocess.run(["rm", "-rf", str(name)], check=True)
        if not mounted:
            subprocess.run(["umount", str(pin)], check=True)


def shown_at_root() -> list[dict[str, Any]]:
    done = subprocess.run([program("bpftool"), "-j", "cgroup", "show", root()], capture_output=True, check=True)
    return json.loads(done.stdout or "[]")  # type: ignore[no-any-return]


def there(identity: int) -> bool:
    return identity in {one["id"] for one in shown_at_root()}


def test_a_program_that_shares_the_cgroup(foreign: Path, watch: Callable[..., Watcher], serve: Callable[..., tuple[int, int]]) -> None:
    with attached(foreign, "multi") as theirs:
        port, _ = serve(sys.executable, HERE / "server.py")
        watcher = watch()
        watcher.check(port, load(port, 2, 100))
        assert there(theirs)
        watcher.native.stop()
        assert there(theirs) and theirs in kernel.programs()
        kill_and_look()
        assert there(theirs)


def test_a_program_that_wants_the_cgroup_alone(foreign: Path) -> None:
    """It was there first: we say so and go, and it stays."""
    with attached(foreign) as theirs:
        with pytest.raises(Misconfigured, match="bytes needs"):
            agent.attach(SETTINGS)
        assert there(theirs)
