"""A catalog that version 1 left is opened by today's, on both databases, and nothing of it is lost or different."""

import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from pulka.clock import SystemClock
from pulka.errors import PulkaError
from pulka.model.rules import Retention
from pulka.model.windows import HOUR_NS, TimeRange
from pulka.seams import Amendment, Publication
from pulka.store import migrations, schema
from pulka.store.catalog import SqlCatalog

DUMP = Path(__file__).with_name("catalog-v1.sql").read_text()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        connection = sqlite3.connect(tmp_path / "catalog.db")
        connection.executescript(DUMP)
        connection.close()
        return f"sqlite:///{tmp_path}/catalog.db"
    found: str = request.getfixturevalue("postgres_url")
    engine = _engine(found)
    schema.metadata.drop_all(engine)
    spelt = re.sub(r"X'([0-9A-F]*)'", r"'\\x\1'::bytea", re.sub(r"\bBLOB\b", "BYTEA", DUMP))
    with engine.begin() as connection:
        connection.exec_driver_sql(spelt.replace("%", "%%"))
    engine.dispose()
    return found


def _engine(url: str):
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


def _shape(url: str) -> dict[str, object]:
    """Tables with their columns, keys and indexes, as the database tells them."""
    engine = _engine(url)
    found = inspect(engine)
    shape = {
        name: (
            sorted((c["name"], str(c["type"]), c["nullable"], _default(c["default"])) for c in found.get_columns(name)),
            sorted(found.get_pk_constraint(name)["constrained_columns"]),
            sorted(tuple(i["column_names"]) for i in found.get_indexes(name)),
            sorted(tuple(u["column_names"]) for u in found.get_unique_constraints(name)),
        )
        for name in found.get_table_names()
    }
    engine.dispose()
    return shape


def _default(text: str | None) -> str | None:
    """A sequence behind the version's column is no difference: nobody inserts without a version."""
    return None if text is None or text.startswith("nextval") else text.split("::")[0]


async def test_everything_is_still_there(url: str) -> None:
    catalog = await SqlCatalog.open(url, SystemClock())
    assert list(await catalog.tenants()) == ["t", "u"]
    (one,) = await catalog.fragments("t")
    assert (one.id, one.rows, one.min_ns, one.deleted_upto, one.swept) == ("a", 10, HOUR_NS + 5, 0, "")
    assert one.columns[1].max == "zé"
    assert one.residual == {"rare.field": frozenset({"i64", "str"})}
    assert dict(await catalog.positions(3)) == {("t", "logs"): 7}
    assert [key.ack for key in await catalog.dedup(0)] == [b"\x00ack"]
    assert list(await catalog.retired(2**62)) == ["t/logs/b.parquet"]
    assert [(u.tenant, u.bytes, u.retired_bytes) for u in await catalog.usage()] == [("t", 100, 100), ("u", 100, 0)]
    await catalog.close()


async def test_it_works_as_a_new_one(url: str) -> None:
    for _ in range(2):  # the second time there is nothing to migrate
        catalog = await SqlCatalog.open(url, SystemClock())
        await catalog.amend(Amendment(put=(Retention("r", "t", "logs", 60),)))
        await catalog.publish(Publication(mark=tuple(await catalog.fragments("t"))))
        assert (await catalog.snapshot("t", "logs", TimeRange())).retention[0].keep_s == 60
        await catalog.close()


async def test_the_schema_is_that_of_a_new_catalog(url: str, tmp_path: Path) -> None:
    await (await SqlCatalog.open(url, SystemClock())).close()
    migrated = _shape(url)
    if url.startswith("postgresql"):
        engine = _engine(url)
        schema.metadata.drop_all(engine)
        engine.dispose()
        fresh = url
    else:
        fresh = f"sqlite:///{tmp_path}/fresh.db"
    await (await SqlCatalog.open(fresh, SystemClock())).close()
    assert migrated == _shape(fresh)


async def test_a_step_that_fails_leaves_the_old_version(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = dict(migrations._STEPS)
    monkeypatch.setitem(migrations._STEPS, 1, (*steps[1], "CREATE TABLE holds (id TEXT)"))
    with pytest.raises(PulkaError):
        await SqlCatalog.open(url, SystemClock())
    engine = _engine(url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version FROM pulka_schema")).scalar() == 1
    assert "holds" not in inspect(engine).get_table_names()
    engine.dispose()
    monkeypatch.setitem(migrations._STEPS, 1, steps[1])
    await (await SqlCatalog.open(url, SystemClock())).close()
