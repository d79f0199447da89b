"""The WAL on files: group commit, limits, segments, damage, failing disks."""

import asyncio
import errno
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pulka.errors import BadInput, Misconfigured, PulkaError, Temporary
from pulka.journal.wal import WalJournal
from pulka.seams import Record
from pulka.testing.clock import FakeClock
from pulka.testing.disk import FaultyDisk


def batch(value: int, rows: int = 1) -> pa.RecordBatch:
    return pa.record_batch({"value": pa.array([value] * rows, pa.int64())})


def noise(seed: int, rows: int = 1000) -> pa.RecordBatch:
    """A batch that does not compress: 8 bytes a row."""
    source = random.Random(seed)
    return pa.record_batch({"value": pa.array([source.getrandbits(63) for _ in range(rows)], pa.int64())})


async def opened(directory: Path, **settings: object) -> WalJournal:
    settings = {"partitions": 1, "clock": FakeClock(auto=True), **settings}
    return await WalJournal.open(directory, **settings)  # type: ignore[arg-type]


async def fill(directory: Path, count: int, **settings: object) -> None:
    journal = await opened(directory, **settings)
    for value in range(1, count + 1):
        await journal.append("t", "logs", batch(value), dedup_key=f"k{value}", ack=b"a")
    await journal.close()


def values(records: "list[Record] | tuple[Record, ...] | object") -> list[int]:
    return [record.batch["value"][0].as_py() for record in records]  # type: ignore[attr-defined]


async def everything(journal: WalJournal) -> list[Record]:
    records: list[Record] = []
    while found := await journal.read(0, records[-1].position.sequence if records else 0, 100):
        records += found
    return records


def segments(directory: Path) -> list[Path]:
    return sorted((directory / "p000").glob("*.wal"))


# Group commit


async def test_appends_within_the_delay_share_one_sync(tmp_path: Path) -> None:
    disk, clock = FaultyDisk(), FakeClock()
    journal = await opened(tmp_path, disk=disk, clock=clock)
    before = disk.calls["sync"]
    appends = asyncio.gather(*(journal.append("t", "logs", batch(n)) for n in range(100)))
    await clock.advance(0.001)
    assert disk.calls["sync"] == before
    await clock.advance(0.001)
    await appends
    assert disk.calls["sync"] == before + 1
    await journal.close()


async def test_many_bytes_are_committed_without_waiting(tmp_path: Path) -> None:
    journal = await opened(tmp_path, clock=FakeClock(), segment_bytes=50_000)  # a clock nobody moves
    await asyncio.gather(*(journal.append("t", "logs", noise(n)) for n in range(7)))
    await journal.close()


async def test_close_commits_what_waits(tmp_path: Path) -> None:
    journal = await opened(tmp_path, clock=FakeClock())
    append = asyncio.create_task(journal.append("t", "logs", batch(1)))
    await asyncio.sleep(0)
    await journal.close()
    assert (await append).sequence == 1


async def test_a_caller_that_gives_up_disturbs_nobody(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = await opened(tmp_path, clock=clock)
    appends = [asyncio.create_task(journal.append("t", "logs", batch(n))) for n in range(3)]
    await asyncio.sleep(0)
    appends[1].cancel()
    await clock.advance(1)
    assert [(await append).sequence for append in (appends[0], appends[2])] == [1, 3]
    await journal.close()


async def test_an_append_that_cannot_be_encoded_fails_alone(tmp_path: Path) -> None:
    journal = await opened(tmp_path)
    outcomes = await asyncio.gather(
        journal.append("t", "logs", batch(1)),
        journal.append("t", "l" * 70_000, batch(2)),
        journal.append("t", "logs", batch(3)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], BadInput)
    assert [record.position.sequence for record in await journal.read(0, 0, 9)] == [1, 2]
    await journal.close()


async def test_the_backlog_is_bounded(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = await opened(tmp_path, clock=clock, backlog_bytes_max=30_000)
    appends = [asyncio.create_task(journal.append("t", "logs", noise(n))) for n in range(5)]
    await asyncio.sleep(0)
    await clock.advance(1)
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["Position"] * 3 + ["Temporary"] * 2
    late = asyncio.create_task(journal.append("t", "logs", noise(9)))
    await clock.advance(1)
    assert (await late).sequence == 4
    await journal.close()


# Segments


async def test_records_survive_reopening(tmp_path: Path) -> None:
    await fill(tmp_path, 5)
    journal = await opened(tmp_path)
    records = await everything(journal)
    assert values(records) == [1, 2, 3, 4, 5]
    assert [(record.dedup_key, record.ack) for record in records] == [(f"k{n}", b"a") for n in range(1, 6)]
    assert journal.recovered.records == 5
    assert (journal.recovered.torn_bytes, journal.recovered.corrupt_ranges) == (0, [])
    assert (await journal.append("t", "logs", batch(6))).sequence == 6
    assert values(await everything(journal)) == [1, 2, 3, 4, 5, 6]
    await journal.close()


async def test_segments_rotate_and_are_deleted_whole(tmp_path: Path) -> None:
    journal = await opened(tmp_path, segment_bytes=20_000)
    for n in range(10):
        await journal.append("t", "logs", noise(n))
    assert [int(path.stem) for path in segments(tmp_path)] == [1, 3, 5, 7, 9]
    await journal.release(0, 5)
    assert [int(path.stem) for path in segments(tmp_path)] == [5, 7, 9]
    await journal.release(0, 10)
    assert [(int(path.stem), path.stat().st_size) for path in segments(tmp_path)] == [(11, 0)]
    await journal.close()


async def test_sequences_go_on_after_everything_was_released(tmp_path: Path) -> None:
    journal = await opened(tmp_path, segment_bytes=1000)
    for n in range(3):
        await journal.append("t", "logs", noise(n))
    await journal.release(0, 3)
    await journal.close()
    again = await opened(tmp_path)
    assert await everything(again) == []
    assert (await again.append("t", "logs", batch(1))).sequence == 4
    await again.close()


async def test_an_append_larger_than_a_segment_goes_alone(tmp_path: Path) -> None:
    journal = await opened(tmp_path, segment_bytes=10_000)
    await asyncio.gather(*(journal.append("t", "logs", noise(n, rows)) for n, rows in enumerate([100, 5000, 100])))
    assert [int(path.stem) for path in segments(tmp_path)] == [1, 2, 3]
    await journal.close()


async def test_partitions_on_disk_are_never_left_out(tmp_path: Path) -> None:
    journal = await opened(tmp_path, partitions=4)
    for n in range(20):
        await journal.append(f"tenant-{n}", "logs", batch(n))
    await journal.close()
    again = await opened(tmp_path, partitions=2)
    assert again.partitions == 4
    assert again.recovered.records == 20
    await again.close()


async def test_readers_far_behind_read_the_files(tmp_path: Path) -> None:
    journal = await opened(tmp_path, tail_bytes_max=20_000, segment_bytes=30_000)
    for n in range(12):
        await journal.append("t", "logs", noise(n))
    records = await everything(journal)
    assert [record.batch for record in records] == [noise(n) for n in range(12)]
    await journal.close()


# Damage


async def test_a_cut_at_any_byte_keeps_what_lies_before_it(tmp_path: Path) -> None:
    await fill(tmp_path / "good", 3)
    (good,) = segments(tmp_path / "good")
    data = good.read_bytes()
    length = len(data) // 3
    for cut in range(2 * length - 20, len(data) + 1):
        directory = tmp_path / "cut"
        shutil.copytree(tmp_path / "good", directory)
        (directory / "p000" / good.name).write_bytes(data[:cut])
        journal = await opened(directory)
        assert values(await everything(journal)) == list(range(1, cut // length + 1)), f"cut at {cut}"
        assert journal.recovered.torn_bytes == cut % length
        assert (await journal.append("t", "logs", batch(99))).sequence == cut // length + 1
        await journal.close()
        again = await opened(directory)
        assert values(await everything(again)) == [*range(1, cut // length + 1), 99]
        assert again.recovered.torn_bytes == 0
        await again.close()
        shutil.rmtree(directory)


async def test_flipped_bytes_are_reported_and_the_others_survive(tmp_path: Path) -> None:
    await fill(tmp_path / "good", 4)
    (good,) = segments(tmp_path / "good")
    data = good.read_bytes()
    length = len(data) // 4
    for at in range(0, len(data), 7):
        directory = tmp_path / "flip"
        shutil.copytree(tmp_path / "good", directory)
        broken = bytearray(data)
        broken[at] ^= 0x41
        (directory / "p000" / good.name).write_bytes(broken)
        journal = await opened(directory)
        hit = at // length + 1
        assert values(await everything(journal)) == [n for n in range(1, 5) if n != hit], f"flip at {at}"
        lost = [copy.stat().st_size for copy, _ in journal.recovered.corrupt_ranges]
        assert lost == [length] or (hit == 4 and journal.recovered.torn_bytes == length), f"flip at {at}"
        assert (await journal.append("t", "logs", batch(99))).sequence >= (5 if lost else 4)
        await journal.close()
        shutil.rmtree(directory)


async def test_damage_while_running_is_quarantined_by_the_reader(tmp_path: Path) -> None:
    journal = await opened(tmp_path, tail_bytes_max=0)
    for value in range(1, 5):
        await journal.append("t", "logs", batch(value))
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    length = len(data) // 4
    data[length + 60] ^= 1
    path.write_bytes(data)
    assert values(await everything(journal)) == [1, 3, 4]
    ((copy, size),) = journal.recovered.corrupt_ranges
    assert copy.read_bytes() == data[length : 2 * length] and size == length
    await journal.close()


# Failing disks


async def test_a_directory_that_cannot_be_opened_is_a_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="cannot be opened"):
        await opened(tmp_path / "file")


async def test_short_writes_are_finished(tmp_path: Path) -> None:
    journal = await opened(tmp_path, disk=FaultyDisk(short_writes=random.Random(1)))
    await asyncio.gather(*(journal.append("t", "logs", noise(n, 50)) for n in range(30)))
    await journal.close()
    again = await opened(tmp_path)
    assert [record.batch for record in await everything(again)] == [noise(n, 50) for n in range(30)]
    await again.close()


@pytest.mark.parametrize("operation", ["write", "sync", "create", "rename", "sync_directory"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("cut_fails", [False, True])
async def test_a_failure_at_every_call_loses_and_doubles_nothing(
    tmp_path: Path, operation: str, code: int, cut_fails: bool
) -> None:
    for nth in range(1, 9):
        directory, disk = tmp_path / str(nth), FaultyDisk()
        journal = await opened(directory, disk=disk, segment_bytes=2000)
        disk.fail(operation, code, nth=nth)
        if cut_fails:
            disk.fail("truncate", code, times=100)
        acknowledged = []
        for value in range(12):
            try:
                await journal.append("t", "logs", noise(value, 50))
            except Temporary as error:
                assert error.hint
            else:
                acknowledged.append(value)
        assert len(acknowledged) >= 11
        expected = [noise(value, 50) for value in acknowledged]
        assert [record.batch for record in await everything(journal)] == expected
        await journal.close()
        again = await opened(directory, segment_bytes=2000)
        records = await everything(again)
        assert [record.batch for record in records] == expected
        assert [record.position.sequence for record in records] == list(range(1, len(expected) + 1))
        await again.close()


async def test_a_full_disk_pushes_back_and_recovers_by_itself(tmp_path: Path) -> None:
    disk = FaultyDisk(space_bytes=30_000)
    journal = await opened(tmp_path, disk=disk)
    acknowledged = 0
    with pytest.raises(Temporary, match="No space left") as refused:
        for n in range(100):
            await journal.append("t", "logs", noise(n))
            acknowledged += 1
    assert "free space" in refused.value.hint
    assert acknowledged == 3
    disk.space_bytes = None
    assert (await journal.append("t", "logs", noise(77))).sequence == 4
    await journal.close()
    again = await opened(tmp_path)
    assert [record.batch for record in await everything(again)] == [noise(n) for n in (0, 1, 2, 77)]
    assert again.recovered.corrupt_ranges == []
    await again.close()


async def test_a_failed_sync_is_never_repeated_on_the_same_file(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal = await opened(tmp_path, disk=disk)
    await journal.append("t", "logs", batch(1))
    disk.fail("sync")
    with pytest.raises(PulkaError):
        await journal.append("t", "logs", batch(2))
    assert (await journal.append("t", "logs", batch(3))).sequence == 2
    assert [int(path.stem) for path in segments(tmp_path)] == [1, 2]
    await journal.close()
    again = await opened(tmp_path)
    assert values(await everything(again)) == [1, 3]
    assert again.recovered.void_records == 1
    await again.close()
