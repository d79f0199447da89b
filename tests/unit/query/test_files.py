"""A query holds the files it reads, lets go of them however it ends, and never passes over one that is lost."""

import asyncio
import gc

import pytest

from pulka.errors import BadQuery, Corrupt, LimitExceeded, Temporary
from pulka.model.windows import TimeRange
from pulka.seams import Lease, Limits

ROWS = [{"timestamp": n, "n": n, "service": f"s{n % 3}"} for n in range(1000)]
SQL = "SELECT n FROM logs"


@pytest.fixture
def filled(lake):
    for part in range(4):
        lake.store(ROWS[part::4])
    return lake


async def ended(lake):
    for _ in range(3):
        await asyncio.sleep(0)
    return lake.files.leased


async def drained(lake, sql=SQL, limits=None):
    result = await lake.engine.run(sql, "acme", TimeRange(), limits or Limits())
    assert lake.files.leased == 1
    return sum([batch.num_rows async for batch in result.batches])


def test_files_are_held_while_a_query_runs_and_no_longer(filled):
    async def go():
        assert await drained(filled) == 1000
        assert await drained(filled, limits=Limits(rows=5)) == 5
        return await ended(filled)

    assert asyncio.run(go()) == 0
    assert filled.files.doubted == 0


def test_a_query_that_fails_lets_go(filled):
    async def go():
        for sql in ("SELECT nothing FROM logs", "SELECT arrow_cast(service, 'Int64') FROM logs"):
            with pytest.raises(BadQuery):
                await drained(filled, sql)
        return await ended(filled)

    assert asyncio.run(go()) == 0
    assert filled.files.doubted == 0


def test_a_result_that_is_dropped_lets_go(filled):
    async def go():
        result = await filled.engine.run(SQL, "acme", TimeRange(), Limits())
        await anext(result.batches)
        await result.batches.aclose()
        unread = await filled.engine.run(SQL, "acme", TimeRange(), Limits(time_s=0.2))
        del unread
        gc.collect()
        await asyncio.sleep(0.4)  # at its deadline at the latest
        return await ended(filled)

    assert asyncio.run(go()) == 0


def test_a_wait_for_files_ends_with_the_query(make_lake):
    lake = make_lake(time_s=0.2)
    lake.store(ROWS)

    class Slow:
        cancelled = False

        async def lease(self, fragments) -> Lease:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            raise AssertionError

    lake.engine._reading._files = slow = Slow()

    async def go():
        with pytest.raises(LimitExceeded, match="ran longer"):
            await lake.engine.run(SQL, "acme", TimeRange(), Limits())
        await asyncio.sleep(0)
        return slow.cancelled

    assert asyncio.run(go())


def test_explain_reads_and_holds_no_files(filled):
    for path in filled.folder.glob("*.parquet"):
        path.unlink()
    (table,) = filled.explain(SQL)["tables"]
    assert table["scanned"] == 4
    assert filled.files.leased == 0


def test_a_lost_file_is_an_error_not_fewer_rows(filled):
    (filled.folder / "f2.parquet").unlink()
    for sql in (SQL, "SELECT * FROM logs", "SELECT count(*) FROM logs"):
        with pytest.raises(Temporary, match="a stored file is gone"):
            filled.rows(sql)
    assert filled.rows("SELECT n FROM logs WHERE n = 0") == [(0,)]  # which the lost one has not
    assert filled.files.doubted == 3


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"\0" * 400, b"\0" * 400 + b"PAR1"])
def test_a_damaged_file_is_an_error_and_doubted(filled, damage):
    (filled.folder / "f3.parquet").write_bytes(damage)
    with pytest.raises(Corrupt, match="cannot be read"):
        filled.rows(SQL)
    assert filled.files.doubted == 1


def test_damage_within_the_pages(filled):
    path = filled.folder / "f1.parquet"
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="cannot be read"):
        filled.rows("SELECT * FROM logs")
    assert filled.files.doubted == 1
