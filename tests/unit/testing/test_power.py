import errno
import random
from pathlib import Path

import pytest

from pulka.testing.power import VolatileDisk, restore

SEEDS = range(60)


def segment(directory: Path, *, synced: bool = True) -> tuple[VolatileDisk, int, Path]:
    disk, path = VolatileDisk(directory), directory / "1.wal"
    fd = disk.create(path)
    if synced:
        disk.sync_directory(directory)
    return disk, fd, path


def write(disk: VolatileDisk, fd: int, data: bytes) -> None:
    disk.write(fd, [memoryview(data)])


def states(disk: VolatileDisk, path: Path) -> set[bytes | None]:
    return {disk.after_power_cut(random.Random(seed)).get(path) for seed in SEEDS}


def test_what_is_synced_stays(tmp_path: Path) -> None:
    disk, fd, path = segment(tmp_path)
    write(disk, fd, b"sure")
    disk.sync(fd)
    assert states(disk, path) == {b"sure"}


def test_what_is_not_synced_is_there_in_part(tmp_path: Path) -> None:
    disk, fd, path = segment(tmp_path)
    write(disk, fd, b"ab")
    disk.sync(fd)
    write(disk, fd, b"cd")
    assert states(disk, path) == {b"ab", b"abc", b"abcd", b"ab\0\0", b"abc\0"}


def test_a_name_needs_its_directory(tmp_path: Path) -> None:
    disk, fd, path = segment(tmp_path, synced=False)
    write(disk, fd, b"x")
    disk.sync(fd)
    assert states(disk, path) == {None, b"x"}


def test_deleted_files_may_come_back(tmp_path: Path) -> None:
    disk, fd, path = segment(tmp_path)
    disk.close(fd)
    disk.unlink(path)
    assert states(disk, path) == {None, b""}
    disk.sync_directory(tmp_path)
    assert states(disk, path) == {None}


def test_after_a_failed_sync_no_other_proves_anything(tmp_path: Path) -> None:
    disk, fd, path = segment(tmp_path)
    write(disk, fd, b"ab")
    disk.fail("sync", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        disk.sync(fd)
    disk.sync(fd)
    assert b"" in states(disk, path)


def test_a_failed_write_leaves_what_the_model_knows(tmp_path: Path) -> None:
    disk, fd, path = segment(tmp_path)
    disk.fail("write", errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        write(disk, fd, b"abcd")
    disk.sync(fd)
    assert states(disk, path) == {path.read_bytes()} == {b"ab"}


def test_the_next_process_finds_what_was_left(tmp_path: Path) -> None:
    disk, fd, path = segment(tmp_path)
    write(disk, fd, b"ab")
    disk.sync(fd)
    (tmp_path / "2.new").write_bytes(b"")
    restore(tmp_path, disk.after_power_cut(random.Random(1)))
    assert [found.name for found in tmp_path.iterdir()] == ["1.wal"]
    again = VolatileDisk(tmp_path)
    assert states(again, path) == {b"ab"}
