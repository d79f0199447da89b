"""What the agent would see on this machine, found out without attaching anything: `/proc` and files only."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pulka._native import edge_process
from pulka.edge.naming import name_service
from pulka.edge.tls import libraries

__all__ = ["Planned", "plan"]

_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Planned:
    """One service: its processes, the ports it serves, and how its traffic would be seen."""

    service: str
    source: str
    runtime: str
    pids: list[int]
    ports: list[int]
    tls: list[str]


def plan(proc: Path = Path("/proc")) -> list[Planned]:
    """All services that have a socket of TCP or UDP, by name."""
    found: dict[tuple[str, str], Planned] = {}
    own = os.getpid()
    for pid in sorted(int(path.name) for path in proc.iterdir() if path.name.isdigit()):
        sockets = _sockets(proc / str(pid))
        process = edge_process(pid) if sockets and pid != own else None
        if process is None:
            continue
        name = name_service(process)
        planned = found.setdefault((name.service, name.source), Planned(name.service, name.source, name.runtime, [], [], []))
        planned.pids.append(pid)
        planned.ports.extend(sorted(_ports(proc / str(pid), sockets) - set(planned.ports)))
        planned.tls.extend(library for library in libraries(proc / str(pid)) if library not in planned.tls)
    return sorted(found.values(), key=lambda planned: planned.service)


def _sockets(process: Path) -> set[str]:
    """Inodes of the sockets that a process has open."""
    inodes = set()
    try:
        for path in (process / "fd").iterdir():
            target = _link(path)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        pass  # it ended, or is not ours to see
    return inodes


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _ports(process: Path, inodes: set[str]) -> set[int]:
    return {port for port, inode in _listeners(process) if inode in inodes}


def _listeners(process: Path) -> Iterator[tuple[int, str]]:
    """(port, inode) of TCP sockets that listen in the process's network namespace."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (process / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN:
                yield int(fields[1].rpartition(":")[2], 16), fields[9]
