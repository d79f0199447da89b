"""Why the agent may not start here, found out without loading anything. What only loading tells (hooks of the kernel) it says itself."""

import sys
from pathlib import Path

__all__ = ["hindrance"]

_NET_ADMIN, _SYS_ADMIN, _PERFMON, _BPF = 12, 21, 38, 39  # linux/capability.h


def hindrance(platform: str = sys.platform, proc: Path = Path("/proc"), btf: Path = Path("/sys/kernel/btf/vmlinux")) -> str:
    """Empty when nothing is known to be in the way, else what the agent needs."""
    if platform != "linux":
        return "it runs on Linux only"
    if not _may(_capabilities(proc)):
        return "it needs root, or the capabilities BPF, PERFMON and NET_ADMIN"
    if not btf.exists():
        return "it needs a kernel with BTF (Linux 5.10 or newer)"
    if not _has_cgroup2(proc):
        return "it needs cgroup v2"
    return ""


def _may(capabilities: int) -> bool:
    """SYS_ADMIN stands for BPF and PERFMON, as it did before there were any."""
    has = [bool(capabilities >> number & 1) for number in (_NET_ADMIN, _SYS_ADMIN, _PERFMON, _BPF)]
    return has[0] and (has[1] or (has[2] and has[3]))


def _capabilities(proc: Path) -> int:
    try:
        lines = (proc / "self" / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)


def _has_cgroup2(proc: Path) -> bool:
    try:
        return " - cgroup2 " in (proc / "self" / "mountinfo").read_text()
    except OSError:
        return False
