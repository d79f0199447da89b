"""Intake on a journal in memory and a clock that stands still until it is told."""

import random
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from pulka.intake import Intake, IntakeSettings
from pulka.journal.memory import MemoryJournal
from pulka.seams import Record

BEGIN_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


class HandClock:
    """A `pulka.seams.Clock` moved by hand."""

    def __init__(self, now_ns: int = BEGIN_NS) -> None:
        self.random = random.Random(0)
        self.time_ns = now_ns

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_s(self) -> float:
        return self.time_ns / 1e9

    async def sleep(self, seconds: float) -> None:
        self.time_ns += int(seconds * 1e9)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def journal(clock: HandClock) -> MemoryJournal:
    return MemoryJournal(clock=clock, partitions=1)


@pytest.fixture
async def make_intake(journal: MemoryJournal, clock: HandClock) -> AsyncIterator[Callable[..., Intake]]:
    made: list[Intake] = []

    def make(**settings: float) -> Intake:
        made.append(Intake(journal, clock, IntakeSettings(**settings)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for intake in made:
        await intake.close()


@pytest.fixture
def intake(make_intake: Callable[..., Intake]) -> Intake:
    return make_intake()


@pytest.fixture
def stored(journal: MemoryJournal) -> Callable[[], object]:
    async def read() -> Sequence[Record]:
        found: list[Record] = []
        for partition in range(journal.partitions):
            found += await journal.read(partition, 0, 1000)
        return found

    return read
