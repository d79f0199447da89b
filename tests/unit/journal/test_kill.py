"""kill -9 at random moments, with a ledger of what was acknowledged."""

import asyncio
import random
import sys
from pathlib import Path

import pytest

from pulka.clock import SystemClock
from pulka.journal.wal import WalJournal

APPENDER = Path(__file__).parent / "appender.py"


async def run_and_kill(directory: Path, run: int, lines: int, delay_s: float) -> list[tuple[int, str]]:
    """Kill the appender some time after it acknowledged `lines` appends; everything it acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(APPENDER), str(directory), str(run), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    head = [await process.stdout.readline() for _ in range(lines)]
    await asyncio.sleep(delay_s)
    process.kill()
    rest = await process.stdout.read()
    await process.wait()
    whole = (b"".join(head) + rest).rpartition(b"\n")[0].decode()
    return [(int(sequence), name) for sequence, name in (line.split() for line in whole.splitlines())]


async def stored(directory: Path) -> list[tuple[int, str]]:
    journal = await WalJournal.open(directory, clock=SystemClock(), partitions=1)
    assert journal.recovered.corrupt_ranges == []
    found: list[tuple[int, str]] = []
    while records := await journal.read(0, found[-1][0] if found else 0, 500):
        for record in records:
            assert record.dedup_key == record.batch["name"][0].as_py()
            found.append((record.position.sequence, record.dedup_key))
    await journal.close()
    return found


@pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path, rounds: int) -> None:
    source, ledger = random.Random(4), []
    for run in range(rounds):
        ledger += await run_and_kill(tmp_path, run, source.randrange(1, 40), source.random() * 0.02)
        found = await stored(tmp_path)
        assert set(ledger) <= set(found)
        assert [sequence for sequence, _ in found] == list(range(1, len(found) + 1))
        assert len({name for _, name in found}) == len(found)
    assert len(ledger) >= rounds
