"""Who uses the lake: clients that send, readers that ask, a gremlin at the disk, compactors that are killed."""

import asyncio
import errno
import itertools
import random
from typing import TYPE_CHECKING

from tests.sim.audit import shown
from tests.sim.ledger import Batch, Violation, anything
from tests.sim.questions import Question, question

from pulka.errors import Temporary
from pulka.model.windows import TimeRange
from pulka.seams import Limits
from pulka.testing.faults import Faults

if TYPE_CHECKING:
    from tests.sim.life import Life


async def client(life: "Life", number: int) -> None:
    """Send every third batch until it is answered, as a shipper does: again after an error, a hang-up or a restart."""
    own = life.ledger.batches[number :: life.scenario.clients]
    for batch in own:
        if batch.acked_s is not None and batch.acked_s > life.started_s - 10 and batch.repeatable and life.chance.random() < 0.5:
            await _send_again(life, batch)  # the answer was lost when the process ended
    for batch in own:
        if batch.open:
            await life.clock.sleep(life.chance.expovariate(1 / 2.0))
        while batch.open:
            await _attempt(life, batch)
        if batch.acked_s is not None and batch.repeatable and life.chance.random() < 0.1:
            await _send_again(life, batch)


async def _attempt(life: "Life", batch: Batch) -> None:
    batch.attempts += 1
    try:
        async with asyncio.timeout(life.chance.choice((0.05, 1.0, 10.0))):
            outcome = await life.intake.json(batch.tenant, batch.table, batch.body, idempotency_key=batch.key)
    except (Temporary, TimeoutError):
        batch.given_up = not batch.repeatable
        await life.clock.sleep(life.chance.uniform(0.01, 2.0))
        return
    if (outcome.rows, outcome.rejected) != (len(batch.rows), 0):
        raise Violation(f"{batch} was answered {outcome}")
    batch.acked_s = life.now_s


async def _send_again(life: "Life", batch: Batch) -> None:
    """The client never got the answer that we gave."""
    try:
        outcome = await life.intake.json(batch.tenant, batch.table, batch.body, idempotency_key=batch.key)
    except Temporary:
        await life.clock.sleep(1)
        return
    if not outcome.duplicate:
        raise Violation(f"{batch} was taken for new when it came again")


async def reader(life: "Life") -> None:
    """Ask now and then."""
    while True:
        await life.clock.sleep(life.chance.expovariate(1 / 4.0))
        tenant, table = life.chance.choice(life.ledger.tables())
        await ask(life, tenant, table, question(life.chance, life.ledger))


async def query_all(life: "Life") -> None:
    """Everything, by both readers: what was acknowledged is there, once."""
    await life.clock.sleep(2)
    for tenant, table in life.ledger.tables():
        await ask(life, tenant, table, Question("", anything, by_engine=True))
        await ask(life, tenant, table, Question("", anything, by_engine=False))


async def ask(life: "Life", tenant: str, table: str, asked: Question) -> None:
    """One question, its answer held against the ledger; an error is an answer too, as long as faults are about."""
    asked_s = life.now_s
    try:
        rows = await (_by_engine if asked.by_engine else _by_hand)(life, tenant, table, asked)
    except Temporary:
        return
    life.answers += 1
    life.ledger.check_answer(tenant, table, rows, asked_s, life.now_s, f"{asked} at {asked_s:.3f} s", asked.wanted)


async def _by_engine(life: "Life", tenant: str, table: str, asked: Question) -> list[tuple[int, str, str]]:
    known = {*await life.catalog.tables(tenant), *life.writer.fresh_fields(tenant)}
    if table not in known:
        return []
    sql = f"SELECT n, service, value FROM {table} {asked.sql}"
    result = await life.engine.run(sql, tenant, TimeRange(), Limits())
    rows = [row async for batch in result.batches for row in batch.to_pylist()]
    return [(row["n"], row["service"], str(row["value"])) for row in rows]


async def _by_hand(life: "Life", tenant: str, table: str, asked: Question) -> list[tuple[int, str, str]]:
    """The rule of `pulka.store.writer` without the engine: fresh first, then the snapshot; fragments within the grace."""
    fresh = life.writer.fresh(tenant, table)
    snapshot = await life.catalog.snapshot(tenant, table, TimeRange())
    await life.clock.sleep(life.chance.uniform(0, life.scenario.settings["grace_s"] * 0.9))
    rows = [row for fragment in snapshot.fragments for row in life.world.audit.read_again(fragment)]
    for position, batch in fresh:
        if position.sequence > snapshot.positions.get(position.partition, 0):
            rows += shown(batch)
    return rows


async def gremlin(life: "Life") -> None:
    """The journal's disk: operations that fail, no space for a while, short writes."""
    assert life.disk is not None
    while True:
        await life.clock.sleep(life.chance.expovariate(1 / 3.0))
        match life.chance.choice(("fail", "fail", "full", "short")):
            case "fail":
                operation = life.chance.choice(("write", "write", "sync", "sync", "sync", "create", "rename", "truncate", "unlink", "sync_directory"))
                life.disk.fail(operation, life.chance.choice((errno.EIO, errno.ENOSPC)), nth=life.chance.randrange(1, 4), times=life.chance.choice((1, 1, 3)))
            case "full":
                life.disk.space_bytes = life.chance.randrange(4000)
                await life.clock.sleep(life.chance.uniform(0.1, 3.0))
                life.disk.space_bytes = None
            case "short":
                life.disk.short_writes = random.Random(life.chance.random())


async def killed_compactors(life: "Life") -> None:
    """A second compactor on the same catalog, killed at some moment, and the next one."""
    for number in itertools.count():
        faults = Faults(life.chance, life.clock, life.scenario.rates)
        compactor = life.new_compactor(faults, f"spool-{number}")
        compactor.start()
        await life.clock.sleep(life.chance.expovariate(1 / 10.0))
        faults.kill()
        life.killed.append(faults)
