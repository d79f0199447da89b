"""`pulka.connect_async` against a real server and embedded: it says what `pulka.connect` says, and cancels what is not waited for."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

import pulka
from pulka.errors import BadInput, BadQuery, Misconfigured, NotFound, Temporary
from pulka.surfaces.client.async_connection import AsyncConnection
from pulka.surfaces.client.connection import Connection

ENDLESS = "SELECT sum(a.n * b.n + c.n) FROM logs a, logs b, logs c"


@pytest.fixture(params=["server", "embedded"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return request.getfixturevalue("start")().url if request.param == "server" else tmp_path / "lake"


def test_both_say_the_same() -> None:
    public = {name for name in vars(Connection) if not name.startswith("_")}
    assert public == {name for name in vars(AsyncConnection) if not name.startswith("_")}
    for name in public - {"close"}:
        one, other = getattr(Connection, name), getattr(AsyncConnection, name)
        assert one.__doc__ == other.__doc__
        assert one.__doc__
        assert [*inspect.signature(one).parameters] == [*inspect.signature(other).parameters], name


async def test_questions_at_once(target: Any) -> None:
    async with pulka.connect_async(target, tenant="acme", create=True) as lake:
        stored = await lake.ingest("logs", [{"n": n, "service": f"s{n % 3}"} for n in range(300)])
        assert (stored.rows, stored.rejected) == (300, 0)
        answers = await asyncio.gather(*(lake.sql(f"SELECT count(*) AS c FROM logs WHERE n < {n}") for n in range(5)))
        assert [answer.to_pylist()[0]["c"] for answer in answers] == list(range(5))
        assert len(await lake.search("service:s1", limit=7)) == 7
        assert [table["name"] for table in await lake.tables()] == ["logs"]
        assert "service" in [field["name"] for field in await lake.fields("logs")]
        assert (await lake.compare({"where": "n = 1"}))["rows"] == {"selection": 1, "baseline": 299}
        assert (await lake.services())["services"] == (await lake.map())["edges"] == await lake.queries() == []
        with pytest.raises(NotFound):
            await lake.cancel("nothing")
        with pytest.raises(BadQuery, match="servce") as caught:
            await lake.sql("SELECT servce FROM logs")
        assert "service" in caught.value.hint
        with pytest.raises(BadInput):
            await lake.ingest("logs", "text")
        with pytest.raises(BadQuery):
            await anext(lake.tail("logs", where="servce = 1"))
        assert "tenant acme" in repr(lake)


async def test_a_task_that_is_cancelled_cancels_its_query(target: Any) -> None:
    lake = await pulka.connect_async(target, create=True)
    await lake.ingest("logs", [{"n": n} for n in range(3000)])
    asking = asyncio.create_task(lake.sql(ENDLESS, query_id="mine"))
    while not any(one["stage"] == "execute" for one in await lake.queries()):
        await asyncio.sleep(0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    while await lake.queries():
        await asyncio.sleep(0.05)
    assert (await lake.sql("SELECT count(*) AS n FROM logs")).to_pylist() == [{"n": 3000}]
    await lake.close()


async def test_a_tail_goes_on_while_others_ask(target: Any) -> None:
    async with pulka.connect_async(target, create=True) as lake:
        await lake.ingest("logs", [{"n": 0}, {"n": 1}])
        seen: list[int] = []

        async def read() -> None:
            async for event in lake.tail("logs", where="n > 0", last=5):
                seen.append(event["n"])
                if len(seen) == 3:
                    return

        reading = asyncio.create_task(read())
        while not seen:
            await asyncio.sleep(0.05)
        await lake.ingest("logs", [{"n": 0}, {"n": 2}, {"n": 3}])
        await asyncio.wait_for(reading, 30)
        assert seen == [1, 2, 3]


async def test_who_cannot_be_reached() -> None:
    async with pulka.connect_async("http://127.0.0.1:9") as lake:
        with pytest.raises(Temporary, match="nothing listens"):
            await lake.sql("SELECT 1")
    with pytest.raises(Misconfigured, match="no state directory"):
        await pulka.connect_async("/nowhere/at/all")
