"""Ports for processes to listen on, and who is whose child."""

import contextlib
import socket
from pathlib import Path

__all__ = ["children", "free_port", "free_ports", "has_ended", "is_listening"]

_BELOW_EPHEMERAL = range(20_000, 32_000)
"""Where Linux gives no port to anybody who does not ask for it by number."""


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_ports(count: int) -> int:
    """The first of `count` in a row, all of them free at once."""
    for first in _runs(count):
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            for port in range(first, first + count):
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError(f"no {count} free ports in a row")


def _runs(count: int) -> range:
    """Begins at a place of this test's own, so that two that run at once rarely try the same."""
    first = _BELOW_EPHEMERAL.start + free_port() % (len(_BELOW_EPHEMERAL) // 2)
    return range(first, _BELOW_EPHEMERAL.stop - count, count)


def is_listening(port: int, address: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((address, port)) == 0


def children(pid: int) -> set[int]:
    """The processes that `pid` has started and that have not been waited for."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.add(int(folder.name))
    return found


def has_ended(pid: int) -> bool:
    """Also when nobody has asked for its exit code yet."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
