"""A whole lake under one seed: what outlives a process (journal files, bucket, catalog), and the processes one after another."""

import hashlib
import logging
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

import pyarrow as pa
from tests.sim.audit import Audit
from tests.sim.ledger import Violation
from tests.sim.life import Died, Life, PowerCut
from tests.sim.scenario import START_NS, Cut, Scenario

from pulka.query.limits import Running
from pulka.store.catalog import SqlCatalog
from pulka.store.check import check
from pulka.store.collect import orphans
from pulka.store.fragments import FragmentObjects
from pulka.store.repair import repair
from pulka.testing.bucket import Bucket, FaultyStore
from pulka.testing.clock import LoopClock
from pulka.testing.faults import Faults
from pulka.testing.loop import SimulatedLoop
from pulka.testing.power import VolatileDisk, restore

_DEATHS_MAX = 20


class World:
    """Runs a scenario to its end; `Violation` says what does not hold."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.ledger = scenario.ledger
        self.chance = random.Random(f"world {scenario.seed}")
        memory = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(prefix="pulka-sim-", dir=memory if memory.is_dir() else None))
        self.bucket = Bucket(self.directory / "objects")
        self.journal_directory = self.directory / "journal"
        self.journal_directory.mkdir()
        self.audit = Audit(self.bucket, self.ledger)
        self.now_s = 0.0
        self.disk: VolatileDisk | None = None
        self.counts: Counter[str] = Counter()
        self._lives: list[Life] = []
        self._catalogs: list[SqlCatalog] = []
        self.catalog = self._new_catalog()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for life in self._lives:
            life.bury()
        for catalog in self._catalogs:
            catalog._database.close()
        shutil.rmtree(self.directory)

    def clock(self, name: str) -> LoopClock:
        """Virtual time, with randomness of its own."""
        return LoopClock(f"{self.scenario.seed} {name}", start_ns=START_NS)

    def run(self) -> None:
        """All the scenario's processes, then the last one to its rest, then the checks that need the whole."""
        cuts = list(self.scenario.cuts)
        for number in range(_DEATHS_MAX + len(cuts)):
            cut = cuts.pop(0) if cuts else None
            if self._live(number, cut):
                break
            self._end(cut)
        else:
            raise Violation("the process cannot be kept alive")
        self.aside(self._check_offline())
        if self.chance.random() < 0.3:
            self._lose_catalog()
            self.aside(self._check_repaired())

    def aside(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something between processes, where nothing fails."""
        loop = SimulatedLoop(self.chance, now_s=self.now_s)
        try:
            return loop.run_until_complete(work)
        finally:
            self.now_s = loop.time()
            loop.close()

    def digest(self) -> str:
        """What two runs of one seed must have in common."""
        acked = [(batch.number, batch.acked_s, batch.seen_s, batch.attempts) for batch in self.ledger.batches]
        turns = [life.loop.turns for life in self._lives]
        return hashlib.blake2b(repr((acked, turns, self.now_s, self.bucket.all_keys())).encode(), digest_size=8).hexdigest()

    # Processes

    def _live(self, number: int, cut: Cut | None) -> bool:
        """One process; whether it came to rest."""
        life = Life(self, number, cut)
        self._lives.append(life)
        try:
            life.loop.run_until_complete(life.run())
        except PowerCut:
            self.counts["cuts"] += 1
            return False
        except Died:
            self.counts["deaths"] += 1
            return False
        finally:
            life.die()
            self.now_s = life.loop.time()
            self.counts.update(life.counts())
            self.counts.update({f"fault {name}": count for name, count in life.faults.struck.items() if count})
        return True

    def _end(self, cut: Cut | None) -> None:
        self.disk = self._lives[-1].disk or self.disk
        if cut is not None and cut.power and self.disk is not None:
            restore(self.journal_directory, self.disk.after_power_cut(self.chance))
            self.disk = None
        if cut is not None and not cut.catalog:
            self.counts["catalogs lost"] += 1
            self._lose_catalog()
        for batch in self.ledger.batches:
            batch.given_up = batch.given_up or (batch.open and batch.attempts > 0 and not batch.repeatable)

    def _new_catalog(self) -> SqlCatalog:
        path = self.directory / f"catalog-{len(self._catalogs)}.sqlite"
        self._catalogs.append(self.aside(SqlCatalog.open(f"sqlite:///{path}", self.clock("catalog"))))
        return self._catalogs[-1]

    def _lose_catalog(self) -> None:
        self.catalog = self._new_catalog()
        store, objects = self._offline()
        self.aside(repair(self.catalog, store, objects))
        self.ledger.lost_catalog()
        self.audit.repaired()
        self.aside(self._audit())

    async def _audit(self) -> None:
        self.audit.check(await self.catalog.fragments())

    # Between processes

    def _offline(self) -> tuple[Any, FragmentObjects]:
        faultless = Faults(self.chance, self.clock("offline"), {})
        store = FaultyStore(self.bucket, self.clock("offline"), faultless, lambda *_: None)
        objects = FragmentObjects(store, self.directory / "spool-offline")
        objects.prepare()
        return store, objects

    async def _check_offline(self) -> None:
        """At rest and closed: every acknowledged row is in a fragment, `check` finds nothing but orphans, and they can go."""
        self.audit.check(await self.catalog.fragments(), complete=True)
        store, objects = self._offline()
        clock = self.clock("check")
        found = [finding async for finding in check(self.catalog, store, objects, clock, verify=True, grace_s=0)]
        wrong = [finding for finding in found if finding.kind != "orphan_object"]
        if wrong:
            raise Violation(f"`pulka store check` finds {wrong[0]}")
        if self.chance.random() < 0.5:
            return
        self.counts["orphans"] += len(found)
        async for key in orphans(self.catalog, store, clock, 0):
            await objects.delete([key])
        if [finding async for finding in check(self.catalog, store, objects, clock, verify=True, grace_s=0)]:
            raise Violation("orphans are left after they were deleted")

    async def _check_repaired(self) -> None:
        """A catalog made from the footers alone holds the same rows, and a journal that is replayed adds none."""
        self.audit.check(await self.catalog.fragments(), complete=True)


def play(scenario: Scenario) -> tuple[str, Counter[str]]:
    """Run a scenario; its digest and what happened. Violation, or whatever the lake raised, when something is wrong."""
    logging.disable(logging.CRITICAL)
    try:
        with mock.patch.object(Running, "next", _next), World(scenario) as world:
            world.run()
            world.counts["acknowledged"] = sum(batch.acked_s is not None for batch in world.ledger.batches)
            return world.digest(), world.counts
    finally:
        logging.disable(logging.NOTSET)


async def _next(running: Running) -> pa.RecordBatch | None:
    """DataFusion's own threads answer in real time; waiting for them stops virtual time."""
    batch = next(running._stream, None)
    return None if batch is None else batch.to_pyarrow()
