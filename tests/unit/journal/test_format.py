"""The frame format is frozen: a segment written by the first version stays readable."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pulka._native import journal_decode, journal_encode, journal_scan
from pulka.journal.wal import WalJournal
from pulka.testing.clock import FakeClock

FIXTURE = Path(__file__).parents[2] / "compat" / "journal-v1.wal"


def fixture_records() -> list[tuple[int, str, str, int, pa.RecordBatch, str | None, bytes]]:
    """What the fixture was written from, with `b"".join(journal_encode(*record) for record in ...)`."""
    times = pa.array([1_700_000_000_000_000_000, 1_700_000_000_000_000_001], pa.timestamp("ns", tz="UTC"))
    fields = [pa.field("timestamp", times.type, nullable=False), pa.field("a#i64", pa.int64(), metadata={"pulka.path": "a"})]
    mixed = pa.record_batch([times, pa.array([7, None], pa.int64())], schema=pa.schema(fields))
    texts = pa.record_batch({"message": ["żółw 🐢"] * 50, "ok": [True, None] * 25, "value": [0.5] * 50})
    return [
        (1, "default", "logs", 1_700_000_000_000_000_000, mixed, None, b""),
        (2, "acme", "spans", -1, texts, "", b'{"accepted":50}'),
        (3, "acme", "żółw", 0, texts.slice(3, 4), "clé-🔑", b"\x00\xff"),
    ]


def test_the_fixture_decodes_to_what_it_was_written_from() -> None:
    data = FIXTURE.read_bytes()
    entries, end, reason = journal_scan(data)
    assert (end, reason) == (len(data), "")
    decoded = [journal_decode(data[offset : offset + length]) for _, offset, length in entries]
    assert decoded == fixture_records()
    assert decoded[0][4].schema.field(1).metadata == {b"pulka.path": b"a"}


async def test_a_journal_opens_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "p000").mkdir()
    shutil.copy(FIXTURE, tmp_path / "p000" / f"{1:020d}.wal")
    journal = await WalJournal.open(tmp_path, clock=FakeClock(auto=True), partitions=1)
    assert [record.position.sequence for record in await journal.read(0, 0, 9)] == [1, 2, 3]
    await journal.close()


@pytest.mark.parametrize("damage", [b"", b"PKJ", b"x" * 100])
def test_what_is_not_a_frame_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match="journal frame"):
        journal_decode(damage)


def test_todays_frames_are_read_back_by_the_walk() -> None:
    data = b"".join(journal_encode(*record) for record in fixture_records())
    assert [sequence for sequence, _, _ in journal_scan(data)[0]] == [1, 2, 3]
