"""One process of the lake, wired as `pulka.app` wires it, with faults on every seam, and the world that uses it."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Coroutine
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.sim import actors
from tests.sim.scenario import Cut

from pulka.errors import PulkaError
from pulka.intake.ingest import Intake
from pulka.intake.options import IntakeSettings
from pulka.journal.wal import WalJournal
from pulka.query.answers import Answers
from pulka.query.engine import DataFusionEngine
from pulka.store.compaction import CompactionSettings, Compactor
from pulka.store.fragments import FragmentObjects
from pulka.store.writer import Writer, WriterSettings
from pulka.testing.bucket import FaultyStore
from pulka.testing.faults import Faults, Flaky
from pulka.testing.files import DirectoryFiles
from pulka.testing.loop import SimulatedLoop
from pulka.testing.power import VolatileDisk

if TYPE_CHECKING:
    from tests.sim.world import World

_AUDIT_TURNS = 400
_TURNS_MAX = 400_000


class PowerCut(BaseException):
    """The process ends here."""


class Died(Exception):
    """The process gave up at its start, as it does when the catalog cannot be read; it is started again."""


class Journal:
    """The real journal; reads are now and then slow, or bring records again that came before."""

    def __init__(self, journal: WalJournal, faults: Faults) -> None:
        self._journal = Flaky(journal, faults, "journal")
        self._faults = faults
        self.partitions = journal.partitions
        self.append, self.wait, self.release, self.close = journal.append, journal.wait, self._journal.release, journal.close

    async def read(self, partition: int, after: int, limit: int) -> Any:
        again = self._faults.part(3) if self._faults.strikes("journal.read.again") else 0
        return await self._journal.read(partition, max(after - again, 0), limit + again)


class Life:
    """Writer, compactor, intake and engine over one loop; clients and readers that last as long as it does."""

    def __init__(self, world: "World", number: int, cut: Cut | None) -> None:
        self.world = world
        self.scenario = world.scenario
        self.ledger = world.ledger
        self.chance = random.Random(f"{self.scenario.seed} life {number}")
        self.loop = SimulatedLoop(self.chance, now_s=world.now_s, turn=self._turn)
        self.clock = world.clock(f"life {number}")
        self.faults = Faults(self.chance, self.clock, self.scenario.rates)
        self.disk: VolatileDisk | None = None
        self.started_s = world.now_s
        self.answers = 0
        self.killed: list[Faults] = []
        self.corpses: set[asyncio.Task[Any]] = set()
        self._cut = cut

    @property
    def now_s(self) -> float:
        return self.loop.time()

    def _turn(self) -> None:
        if self._cut is not None and self.loop.turns == self._cut.turn:
            raise PowerCut
        if self.loop.turns > _TURNS_MAX:
            raise AssertionError("the process does not come to rest")
        if self.loop.turns % _AUDIT_TURNS == 0:
            self.audit()

    def _disk_operation(self, _: str) -> None:
        assert self.disk is not None
        if self._cut is not None and self.disk.calls.total() == self._cut.operation:
            raise PowerCut

    def audit(self) -> None:
        """Look at catalog and bucket as they are between two turns."""
        self.world.audit.check(self.loop.at_once(self.world.catalog.fragments()))

    async def run(self) -> None:
        """Until every client has its answers and everything has come to rest."""
        await self._open()
        background = [asyncio.create_task(work) for work in self._background()]
        clients = asyncio.gather(*(actors.client(self, number) for number in range(self.scenario.clients)))
        done, _ = await asyncio.wait([clients, *background], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        await clients
        self.faults.stop()
        if self.disk is not None:
            self.disk.heal()
        for task in background:
            task.cancel()
        await self._settle()
        await self._close()

    def _background(self) -> list[Coroutine[Any, Any, None]]:
        works = [actors.reader(self), actors.reader(self)]
        if self.scenario.disk_faults:
            works.append(actors.gremlin(self))
        if self.scenario.compactors > 1:
            works.append(actors.killed_compactors(self))
        return works

    async def _open(self) -> None:
        settings = self.scenario.settings
        self.disk = VolatileDisk(self.world.journal_directory, before=self.world.disk)
        self.disk.before = self._disk_operation
        self.wal = await WalJournal.open(
            self.world.journal_directory, clock=self.clock, partitions=int(settings["partitions"]), disk=self.disk,
            segment_bytes=int(settings["segment_bytes"]), tail_bytes_max=int(settings["tail_bytes_max"]), bytes_max=1 << 22,
        )  # fmt: skip
        self.journal: Any = Journal(self.wal, self.faults)
        self.catalog: Any = Flaky(self.world.catalog, self.faults, "catalog")
        self.writer = Writer(self.journal, self.catalog, self.objects("spool", self.faults), self.clock, self._writer_settings())
        await self.writer.start()
        self.compactor = self.new_compactor(self.faults, "spool")
        self.writer.flushed.append(self.compactor.published)
        self.compactor.start()
        self.intake = Intake(self.journal, self.clock, IntakeSettings(decode_threads=1))
        try:
            await self.intake.dedup.recover(self.catalog, self.journal)
        except PulkaError as error:
            raise Died from error
        scratch = self.world.directory / "scratch"
        scratch.mkdir(exist_ok=True)
        self.engine = DataFusionEngine(
            self.catalog, self.writer, DirectoryFiles(self.world.bucket.path("")), clock=self.clock, threads=1, scratch=scratch,
            answers=Answers(1 << 20),
        )  # fmt: skip

    def objects(self, spool: str, faults: Faults) -> FragmentObjects:
        """A way to the bucket with the given faults."""
        directory = self.world.directory / spool
        directory.mkdir(exist_ok=True)
        return FragmentObjects(FaultyStore(self.world.bucket, self.clock, faults, self.loop.call_later), directory)

    def new_compactor(self, faults: Faults, spool: str) -> Compactor:
        """A compactor whose catalog and objects fail as `faults` says."""
        catalog: Any = Flaky(self.world.catalog, faults, "catalog")
        return Compactor(catalog, self.objects(spool, faults), self.clock, self._compaction_settings())

    def _writer_settings(self) -> WriterSettings:
        settings = self.scenario.settings
        return WriterSettings(
            flush_bytes=int(settings["flush_bytes"]), flush_age_s=settings["flush_age_s"], windows_per_flush=int(settings["windows_per_flush"]),
            retry_max_s=5.0, read_records=4,
        )  # fmt: skip

    def _compaction_settings(self) -> CompactionSettings:
        settings = self.scenario.settings
        return CompactionSettings(
            fragments_per_class=int(settings["fragments_per_class"]), inputs_max=int(settings["inputs_max"]), closed_after_s=settings["closed_after_s"],
            interval_s=3.0, sweep_s=20.0, retired_grace_s=settings["grace_s"], locality_rows=30, class_base_rows=8,
        )  # fmt: skip

    async def _settle(self) -> None:
        """Nothing fails any more: all that is buffered gets published, what can be merged is merged, what is retired goes."""
        await actors.query_all(self)
        await self.writer.flush()
        await self.clock.sleep(self.scenario.settings["closed_after_s"] + 25)
        await self.compactor.run_once()
        await self.clock.sleep(self.scenario.settings["grace_s"] + 1)
        await self.compactor.run_once()
        self.audit()
        await actors.query_all(self)

    async def _close(self) -> None:
        await self.intake.close()
        await self.compactor.close()
        await self.writer.close()
        await self.journal.close()

    def counts(self) -> Counter[str]:
        """What was done, to see that the simulation reaches it."""
        found = Counter(answers=self.answers)
        for part in ("writer", "compactor"):
            if hasattr(self, part):
                found.update(asdict(getattr(self, part).counts))
        return found

    def die(self) -> None:
        """Whatever still hangs does nothing any more, not even when it is forgotten."""
        self.faults.kill()
        self.corpses = asyncio.all_tasks(self.loop)

    def bury(self) -> None:
        """Let go of what a cut left hanging. Only now: cleaning up is what a process that ended did not do."""
        for task in self.corpses:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(BaseException):
                task.get_coro().close()
        self.loop.close()
