"""The application on a journal in memory, a small engine over what the journal holds, and a clock that stands still."""

import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

import datafusion
import httpx
import pyarrow as pa
import pytest

from pulka.errors import BadQuery
from pulka.intake import Intake, IntakeSettings
from pulka.journal.memory import MemoryJournal
from pulka.model.windows import TimeRange
from pulka.seams import DedupKey, Limits, QueryStats, Record, Result, TableInfo
from pulka.surfaces.http import HttpSettings, Services, create_app
from pulka.telemetry import Registry

BEGIN_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


class HandClock:
    """A `pulka.seams.Clock` that stands still."""

    def __init__(self) -> None:
        self.random = random.Random(0)

    def now_ns(self) -> int:
        return BEGIN_NS

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        return None


class JournalEngine:
    """SQL over the journal's records, and over tables given by name: the smallest engine that is one."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self.tables: dict[str, pa.Table] = {}
        self.asked: list[tuple[str, str, TimeRange, Limits]] = []
        self.fail_after: int | None = None

    async def run(self, sql: str, tenant: str, window: TimeRange, limits: Limits, query_id: str = "") -> Result:
        self.asked.append((sql, tenant, window, limits))
        context = datafusion.SessionContext()
        for name, table in {**await self._stored(tenant), **self.tables}.items():
            context.register_record_batches(name, [table.to_batches()])
        try:
            batches = context.sql(sql).collect()
            schema = context.sql(sql).schema()
        except Exception:
            raise BadQuery("the query does not parse", hint="see the SQL reference") from None
        stats = QueryStats()
        return Result(schema, self._stream(batches, stats), stats)

    async def explain(self, sql: str, tenant: str, window: TimeRange) -> Mapping[str, Any]:
        return {"plan": "scan", "window": [window.start_ns, window.end_ns]}

    async def _stream(self, batches: Iterable[pa.RecordBatch], stats: QueryStats) -> AsyncIterator[pa.RecordBatch]:
        for number, batch in enumerate(batches):
            if number == self.fail_after:
                raise BadQuery("the query failed midway")
            stats.rows += batch.num_rows
            yield batch

    async def _stored(self, tenant: str) -> dict[str, pa.Table]:
        found: dict[str, list[pa.RecordBatch]] = {}
        for record in await self._journal.read(0, 0, 1000):
            if record.tenant == tenant:
                found.setdefault(record.table, []).append(record.batch)
        return {
            name: pa.concat_tables((pa.Table.from_batches([batch]) for batch in batches), promote_options="default")
            for name, batches in found.items()
        }


class OneTableCatalog:
    """The reads of `pulka.seams.Catalog` that the surface needs, with one published table."""

    async def tables(self, tenant: str) -> Mapping[str, TableInfo]:
        if tenant != "default":
            return {}
        fields = {"timestamp": frozenset(["timestamp"]), "status": frozenset(["i64", "str"])}
        return {"logs": TableInfo("logs", fields, 1, 10, 100, 1000, BEGIN_NS, BEGIN_NS + 1)}  # type: ignore[arg-type]

    async def dedup(self, since_ns: int) -> Sequence[DedupKey]:
        return []


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def journal(clock: HandClock) -> MemoryJournal:
    return MemoryJournal(clock=clock, partitions=1)


@pytest.fixture
def engine(journal: MemoryJournal) -> JournalEngine:
    return JournalEngine(journal)


@pytest.fixture
async def make_services(
    journal: MemoryJournal, engine: JournalEngine, clock: HandClock
) -> AsyncIterator[Callable[..., Services]]:
    made: list[Services] = []

    def make(intake: IntakeSettings | None = None, settings: HttpSettings | None = None, **given: Any) -> Services:
        metrics = Registry()
        made.append(
            Services(
                intake=Intake(journal, clock, intake, metrics),
                engine=engine,
                catalog=OneTableCatalog(),  # type: ignore[arg-type]
                clock=clock,
                settings=settings or HttpSettings(),
                metrics=metrics,
                **given,
            )
        )
        return made[-1]

    yield make
    for services in made:
        await services.intake.close()


@pytest.fixture
def services(make_services: Callable[..., Services]) -> Services:
    return make_services()


@pytest.fixture
async def make_client() -> AsyncIterator[Callable[[Services], httpx.AsyncClient]]:
    made: list[httpx.AsyncClient] = []

    def make(services: Services) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
        made.append(httpx.AsyncClient(transport=transport, base_url="http://pulka"))
        return made[-1]

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def client(services: Services, make_client: Callable[[Services], httpx.AsyncClient]) -> httpx.AsyncClient:
    return make_client(services)


@pytest.fixture
def stored(journal: MemoryJournal) -> Callable[[], Any]:
    async def read() -> Sequence[Record]:
        return await journal.read(0, 0, 1000)

    return read
