"""Appends without end and prints each sequence once it is acknowledged. Killed by test_kill.py."""

import asyncio
import sys
from pathlib import Path

import pyarrow as pa

from pulka.clock import SystemClock
from pulka.journal.wal import WalJournal


async def append_forever(directory: Path, worker: int, journal: WalJournal, run: int) -> None:
    number = 0
    while True:
        number += 1
        name = f"{run}-{worker}-{number}"
        batch = pa.record_batch({"name": [name] * 20, "text": ["some text to write"] * 20})
        position = await journal.append("t", "logs", batch, dedup_key=name)
        print(position.sequence, name, flush=True)


async def main(directory: Path, run: int) -> None:
    journal = await WalJournal.open(directory, clock=SystemClock(), partitions=1, commit_delay_ms=1, segment_bytes=50_000)
    await asyncio.gather(*(append_forever(directory, worker, journal, run) for worker in range(4)))


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
