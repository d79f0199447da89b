"""What a seed means: how much is sent, how the lake is set, what goes wrong and when."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.sim.ledger import Batch, Ledger, Row

from pulka.model.windows import HOUR_NS

START_NS = 1_800_000_000_000_000_000
_READS = ("snapshot", "tables", "fragments", "tenants", "positions", "retired", "dedup")
_FAULTS: dict[str, tuple[str, ...]] = {
    "objects are slow": ("put.slow", "head.slow", "get.slow", "delete.slow", "list.slow"),
    "objects fail": ("put.fails", "head.fails", "get.fails", "delete.fails"),
    "answers about objects are lost": ("put.lost", "delete.lost"),
    "objects are torn": ("put.torn", "get.torn"),
    "objects are cut short": ("put.short",),
    "objects come twice": ("put.late",),
    "the catalog is slow to answer": tuple(f"catalog.{name}.slow" for name in _READS),
    "the catalog is slow to change": ("catalog.publish.slow", "catalog.forget.slow"),
    "the catalog cannot be read": tuple(f"catalog.{name}.fails" for name in _READS),
    "the catalog refuses changes": ("catalog.publish.fails", "catalog.forget.fails"),
    "answers of the catalog are lost": ("catalog.publish.lost", "catalog.forget.lost"),
    "records come twice": ("journal.read.again",),
    "the journal cannot forget": ("journal.release.fails",),
}


@dataclass
class Cut:
    """The end of a process: after so many turns of its loop, or before an operation of the journal's disk; with the power,
    or by kill -9; with the catalog, or not."""

    turn: int
    power: bool
    catalog: bool
    operation: int = 0


@dataclass
class Scenario:
    """Everything that `World` needs to know, drawn from one seed. Each seed has some kinds of faults only, so that each can be common."""

    seed: int
    ledger: Ledger = field(default_factory=Ledger)
    rates: dict[str, float] = field(default_factory=dict)
    cuts: list[Cut] = field(default_factory=list)
    settings: dict[str, float] = field(default_factory=dict)
    disk_faults: bool = False
    compactors: int = 1
    clients: int = 3


def scenario(seed: int, troubles: Sequence[str] = ()) -> Scenario:
    """The meaning of a seed, with these troubles for certain: groups of faults, or of `_trouble`."""
    chance = random.Random(f"scenario {seed}")
    made = Scenario(seed)
    calm = chance.random() < 0.15
    for group in [] if calm else chance.sample(sorted(_FAULTS), chance.randrange(1, 6)):
        made.rates.update(dict.fromkeys(_FAULTS[group], 10 ** chance.uniform(-1.7, -0.4)))
    made.disk_faults = not calm and chance.random() < 0.4
    made.compactors = chance.choice((1, 1, 2))
    made.cuts = [_cut(chance) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    made.settings = {
        "partitions": chance.choice((1, 2)),
        "segment_bytes": chance.choice((1 << 12, 1 << 14, 1 << 20)),
        "tail_bytes_max": chance.choice((1, 1 << 14, 1 << 20)),
        "flush_age_s": chance.choice((1.0, 4.0, 15.0)),
        "flush_bytes": chance.choice((1 << 10, 1 << 14, 1 << 20)),
        "windows_per_flush": chance.choice((2, 4, 32)),
        "fragments_per_class": chance.choice((2, 3, 5)),
        "inputs_max": chance.choice((3, 8)),
        "closed_after_s": chance.choice((2.0, 10.0, 25.0)),
        "grace_s": chance.choice((15.0, 30.0)),
    }
    _fill(made.ledger, chance)
    for trouble in troubles:
        _trouble(made, trouble, chance)
    return made


def _trouble(made: Scenario, name: str, chance: random.Random) -> None:
    match name:
        case "the power is cut":
            made.cuts = [Cut(chance.randrange(300, 3000), power=True, catalog=True) for _ in range(4)]
        case "the process is killed":
            made.cuts = [Cut(chance.randrange(300, 3000), power=False, catalog=True) for _ in range(4)]
        case "kill and cut in turns":
            kills = [Cut(0, power=False, catalog=True, operation=chance.randrange(3, 20)) for _ in range(5)]
            made.cuts = [cut for kill in kills for cut in (kill, Cut(chance.randrange(50, 400), power=True, catalog=True))]
        case "the disk fails":
            made.disk_faults = True
        case "flushes are small":
            made.settings |= {"flush_bytes": 1 << 10, "flush_age_s": 1.0}
        case "two compactors":
            made.compactors = 2
        case _:
            made.rates.update(dict.fromkeys(_FAULTS[name], 0.2))


def _cut(chance: random.Random) -> Cut:
    operation = round(10 ** chance.uniform(0.3, 2.5)) if chance.random() < 0.3 else 0
    turn = 0 if operation else round(10 ** chance.uniform(1.5, 4.2))
    return Cut(turn, chance.random() < 0.6, chance.random() > 0.15, operation)


def _fill(ledger: Ledger, chance: random.Random) -> None:
    tables = [("acme", "logs"), ("acme", "spans"), ("zoo", "logs")][: chance.choice((1, 2, 3))]
    hours = chance.sample(range(0, 60), chance.choice((1, 2, 5)))
    numbers = iter(range(1, 1 << 40))
    for number in range(chance.randrange(10, 50)):
        tenant, table = chance.choice(tables)
        timed = chance.random() < 0.9
        rows = tuple(_row(next(numbers), chance, hours if timed else ()) for _ in range(chance.choice((1, 2, 5, 20))))
        key = f"key-{number}" if chance.random() < 0.6 else None
        body = "\n".join(json.dumps(row.event()) for row in rows).encode()
        ledger.add(Batch(number, tenant, table, rows, key, body, repeatable=timed or key is not None))


def _row(n: int, chance: random.Random, hours: "list[int] | tuple[()]") -> Row:
    ns = START_NS - chance.choice(hours) * HOUR_NS - chance.randrange(HOUR_NS) if hours else None
    value: int | str = chance.randrange(100) if chance.random() < 0.9 else f"v{chance.randrange(9)}"
    return Row(n, ns, f"s{chance.randrange(4)}", chance.choice(("info", "warn", "error")), value)
