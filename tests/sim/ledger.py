"""What clients sent and were told: the truth that every answer of the lake is held against."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

VISIBLE_S = 1.0
"""Invariant 5: an acknowledged batch is visible within a second."""


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True)
class Row:
    """One event. `n` identifies it in the whole run; `ns` is None when the sender gave no time."""

    n: int
    ns: int | None
    service: str
    severity: str
    value: int | str

    def event(self) -> dict[str, object]:
        """As it is sent. Some fields are rare enough for the residual column."""
        event = {"timestamp": self.ns, "n": self.n, "service": self.service, "severity": self.severity, "value": self.value, "message": "x" * (self.n % 50)}
        rare = {f"rare.{self.n % 7}": self.n} if self.n % 11 == 0 else {}
        return {path: value for path, value in (event | rare).items() if value is not None}

    def shown(self) -> tuple[int, str, str]:
        """What a query shows of it."""
        return self.n, self.service, str(self.value)


@dataclass(eq=False)
class Batch:
    """One body. `key` is the client's; a body without one has a key of its own if every event has a time (`repeatable`)."""

    number: int
    tenant: str
    table: str
    rows: tuple[Row, ...]
    key: str | None
    body: bytes
    repeatable: bool
    acked_s: float | None = None
    seen_s: float | None = None
    attempts: int = 0
    given_up: bool = False

    @property
    def open(self) -> bool:
        """Whether the client still wants an answer."""
        return self.acked_s is None and not self.given_up

    def __str__(self) -> str:
        return f"batch {self.number} of {self.tenant}/{self.table} (rows {self.rows[0].n} to {self.rows[-1].n})"


def anything(row: Row) -> bool:
    return True


@dataclass
class Ledger:
    """All batches of a run."""

    batches: list[Batch] = field(default_factory=list)
    _by_row: dict[int, tuple[Batch, Row]] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._by_row.update({row.n: (batch, row) for row in batch.rows})

    def of(self, tenant: str, table: str) -> Iterator[Batch]:
        return (batch for batch in self.batches if (batch.tenant, batch.table) == (tenant, table))

    def tables(self) -> list[tuple[str, str]]:
        return sorted({(batch.tenant, batch.table) for batch in self.batches})

    def lost_catalog(self) -> None:
        """Dedup keys were in it: what is in doubt now is not sent again, or it could be there twice."""
        for batch in self.batches:
            batch.repeatable = batch.repeatable and not batch.attempts
            batch.given_up = batch.given_up or (batch.acked_s is None and batch.attempts > 0)

    def check_rows(self, tenant: str, table: str, rows: Iterable[tuple[int, str, str]], where: str) -> set[int]:
        """Every row was sent to this table, is as it was sent, and is there once; the rows' numbers."""
        found = Counter(rows)
        numbers = Counter(n for n, *_ in found.elements())
        for row, count in sorted(found.items()):
            batch, sent = self._by_row.get(row[0], (None, None))
            if batch is None or sent is None or (batch.tenant, batch.table) != (tenant, table):
                raise Violation(f"{where}: row {row} was never sent to {tenant}/{table}")
            if row != sent.shown():
                raise Violation(f"{where}: row {row} was sent as {sent.shown()}")
            if count > 1 or numbers[row[0]] > 1:
                raise Violation(f"{where}: row {row[0]} of {batch} is there {numbers[row[0]]} times")
        return set(numbers)

    def check_answer(
        self, tenant: str, table: str, rows: Iterable[tuple[int, str, str]], asked_s: float, now_s: float, where: str, wanted: Callable[[Row], bool] = anything
    ) -> None:
        """A query's answer: whole batches, each once, with all that was acknowledged or seen before it was asked."""
        numbers = self.check_rows(tenant, table, rows, where)
        for batch in self.of(tenant, table):
            expected = {row.n for row in batch.rows if wanted(row)}
            found = expected & numbers
            if numbers & {row.n for row in batch.rows} - expected:
                raise Violation(f"{where}: rows of {batch} were not asked for")
            if found and found != expected:
                raise Violation(f"{where}: {len(expected - found)} rows of {batch} are missing, the others are there")
            if expected and not found:
                _must_not_be_due(batch, asked_s, where)
            if found:
                batch.seen_s = min(now_s, batch.seen_s if batch.seen_s is not None else now_s)


def _must_not_be_due(batch: Batch, asked_s: float, where: str) -> None:
    if batch.acked_s is not None and batch.acked_s + VISIBLE_S <= asked_s:
        raise Violation(f"{where}: {batch}, acknowledged {asked_s - batch.acked_s:.3f} s before, is not there")
    if batch.seen_s is not None and batch.seen_s < asked_s:
        raise Violation(f"{where}: {batch}, seen {asked_s - batch.seen_s:.3f} s before, is not there any more")
