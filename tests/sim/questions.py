"""What readers ask: the same condition as SQL and as a function of the rows that were sent."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.sim.ledger import Ledger, Row, anything


@dataclass(frozen=True)
class Question:
    """A condition, twice, and whom to ask."""

    sql: str
    wanted: Callable[[Row], bool]
    by_engine: bool

    def __str__(self) -> str:
        return f"the engine, asked `{self.sql}`," if self.by_engine else "fresh batches and a snapshot"


def question(chance: random.Random, ledger: Ledger) -> Question:
    """Some condition that prunes well, or none."""
    if chance.random() < 0.4:
        return Question("", anything, by_engine=False)
    last = max(row.n for batch in ledger.batches for row in batch.rows)
    low = chance.randrange(1, last + 1)
    high = low + chance.randrange(20)
    service = f"s{chance.randrange(4)}"
    sql, wanted = chance.choice((
        ("", anything),
        (f"WHERE service = '{service}'", lambda row: row.service == service),
        (f"WHERE n >= {low} AND n < {high}", lambda row: low <= row.n < high),
        (f"WHERE n = {low}", lambda row: row.n == low),
        (f"WHERE service > '{service}' AND severity IN ('warn', 'error')", lambda row: row.service > service and row.severity != "info"),
        (f"WHERE severity LIKE 'e%' OR n <= {low}", lambda row: row.severity == "error" or row.n <= low),
    ))  # fmt: skip
    return Question(sql, wanted, by_engine=True)
