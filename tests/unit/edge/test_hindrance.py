"""What stands in the agent's way, on machines made of files."""

from pathlib import Path

import pytest

from pulka.edge.hindrance import hindrance

ROOT, NONE, THREE, OLD, HALF = "000001ffffffffff", "0000000000000000", "000000c000001000", "0000000000201000", "000000c000000000"


@pytest.mark.parametrize(
    ("capabilities", "platform", "btf", "mounts", "said"),
    [
        (ROOT, "linux", True, "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", ""),
        (THREE, "linux", True, "30 1 0:26 / /sys/fs/cgroup/unified rw - cgroup2 none rw", ""),
        (OLD, "linux", True, "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", ""),
        (NONE, "linux", True, "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "root"),
        (HALF, "linux", True, "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "root"),
        (ROOT, "linux", False, "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "BTF"),
        (ROOT, "linux", True, "30 1 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", "cgroup v2"),
        (ROOT, "darwin", True, "", "Linux only"),
    ],
)
def test_what_it_needs(capabilities: str, platform: str, btf: bool, mounts: str, said: str, tmp_path: Path) -> None:
    own = tmp_path / "self"
    own.mkdir()
    (own / "status").write_text(f"Name:\tpulka\nCapEff:\t{capabilities}\n")
    (own / "mountinfo").write_text(mounts + "\n")
    if btf:
        (tmp_path / "vmlinux").touch()
    found = hindrance(platform, tmp_path, tmp_path / "vmlinux")
    assert said in found and bool(found) == bool(said)


def test_without_proc_nothing_is_allowed(tmp_path: Path) -> None:
    assert "root" in hindrance("linux", tmp_path, tmp_path)
