"""Names a service, and says from where the name is: what someone declared comes before what is derived.

Order: variables that exist for this purpose, the systemd unit, the container or pod, what the language's tools are told on the command
line, the executable. Two processes of one service must get one name, so nothing of an instance (pid, port, version) is in it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from pulka.edge.containers import container_name
from pulka.edge.files import Files
from pulka.edge.name_beam import beam_name
from pulka.edge.name_dotnet import dotnet_name
from pulka.edge.name_go import go_name
from pulka.edge.name_java import java_name
from pulka.edge.name_node import node_name
from pulka.edge.name_php import php_name
from pulka.edge.name_python import python_name
from pulka.edge.name_ruby import ruby_name

__all__ = ["Name", "Process", "name_service", "runtime_of"]


class Process(Protocol):
    """What is known of a process; `pulka._native.EdgeProcess` is one."""

    pid: int
    exe: str
    argv: list[str]
    env: dict[str, str]
    cgroup: str
    cwd: str


@dataclass(frozen=True, slots=True)
class Name:
    """A service's name, the kind of source it is from, and the runtime with its version where that is known."""

    service: str
    source: str
    runtime: str = ""


Finding = tuple[str, str] | None
_LANGUAGES: Mapping[str, Callable[[Sequence[str], Files], Finding]] = {
    "python": python_name,
    "nodejs": node_name,
    "java": java_name,
    "dotnet": dotnet_name,
    "ruby": ruby_name,
    "php": php_name,
    "beam": beam_name,
}
_EXECUTABLES = (
    ("python", re.compile(r"(?:python|pypy)(\d[\d.]*)?$")),
    ("nodejs", re.compile(r"(?:node|nodejs|bun|deno)$")),
    ("java", re.compile(r"java$")),
    ("dotnet", re.compile(r"dotnet$")),
    ("ruby", re.compile(r"ruby(\d[\d.]*)?$")),
    ("php", re.compile(r"php(?:-fpm|-cgi)?(\d[\d.]*)?$")),
    ("beam", re.compile(r"beam(?:\.smp)?$")),
    ("perl", re.compile(r"perl(\d[\d.]*)?$")),
)
# Units that start whatever they are told to: their name says nothing about a process below them.
_HOSTING_UNITS = {"cron", "crond", "atd", "ssh", "sshd", "docker", "containerd", "podman", "crio", "kubelet", "supervisor", "supervisord",
                  "getty", "user", "run", "session", "snapd", "nomad", "gitlab-runner", "jenkins-agent", "init"}  # fmt: skip


def name_service(process: Process, root: Path | None = None) -> Name:
    """The name of the service that a process belongs to. `root` stands for its file system; default: `/proc/PID/root`."""
    files = Files(root or Path(f"/proc/{process.pid}/root"), process.cwd)
    runtime, version = runtime_of(process.exe)
    go = go_name(process.exe, files) if not runtime else None
    if go is not None:
        runtime, version = "go", go[2]
    found = _declared(process.env) or _unit(process.cgroup) or container_name(process.cgroup) or (go[:2] if go else None)
    if found is None and runtime in _LANGUAGES:
        found = _LANGUAGES[runtime](process.argv, files)
    service, source = found or dotnet_name([process.exe], files) or _executable(process, files)
    return Name(service, source, f"{runtime} {version}".strip())


def runtime_of(exe: str) -> tuple[str, str]:
    """(runtime, version) by the executable's name; ("", "") when it is none of those that run other programs."""
    base = PurePosixPath(exe).name
    for runtime, pattern in _EXECUTABLES:
        if found := pattern.match(base):
            return runtime, (found.group(1) or "") if found.re.groups else ""
    return "", ""


def _declared(env: Mapping[str, str]) -> Finding:
    for variable in ("OTEL_SERVICE_NAME", "DD_SERVICE"):
        if env.get(variable):
            return env[variable], variable
    for variable, separator in (("OTEL_RESOURCE_ATTRIBUTES", "="), ("DD_TAGS", ":")):
        for item in re.split(r"[, ]", env.get(variable, "")):
            key, found, value = item.partition(separator)
            if found and value and key.strip() in {"service.name", "service"}:
                return value.strip(), variable
    return None


def _unit(cgroup: str) -> Finding:
    for part in reversed(re.findall(r"([^/\n]+)\.service(?=/|$)", cgroup, re.MULTILINE)):
        unit = re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code.group(1), 16)), part).partition("@")[0]
        if unit and unit not in _HOSTING_UNITS and not unit.startswith(("systemd-", "run-", "user-", "pm2-")):
            return unit, "systemd unit"
    return None


def _called(process: Process, files: Files) -> str | None:
    """A file of several commands goes by the link that was called: redis-server is one to redis-check-rdb in Debian."""
    exe = PurePosixPath(process.exe)
    name = PurePosixPath((process.argv[0].split() or [""])[0]).name if process.argv else ""
    try:
        return name if name and PurePosixPath(files.local(exe.parent / name).readlink()).name == exe.name else None
    except OSError:
        return None


def _executable(process: Process, files: Files) -> tuple[str, str]:
    if called := _called(process, files):
        return called, "executable"
    base = PurePosixPath(process.exe).name or PurePosixPath((process.argv or [""])[0]).name
    return base or f"pid {process.pid}", "executable"
