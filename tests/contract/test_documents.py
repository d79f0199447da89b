"""One suite over everything that keeps documents: the fake, SQLite, PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.conftest import empty_catalog

from pulka.clock import SystemClock
from pulka.errors import Conflict
from pulka.seams import Document, Documents, Edit
from pulka.store.catalog import SqlCatalog
from pulka.testing.documents import MemoryDocuments


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def documents(request: pytest.FixtureRequest) -> AsyncIterator[Documents]:
    if request.param == "memory":
        yield MemoryDocuments()
        return
    opened = await SqlCatalog.open(empty_catalog(request.param, request), SystemClock())
    yield opened
    await opened.close()


async def test_in_changed_and_out(documents: Documents) -> None:
    assert list(await documents.documents("saved")) == []
    await documents.edit([Edit("saved", "t", "b", 0, '{"n":1}'), Edit("saved", "t", "a", 0, "\u00e9"), Edit("saved", "u", "a", 0, "x"), Edit("monitor", "t", "a", 0, "y")])
    assert [(one.tenant, one.name, one.version) for one in await documents.documents("saved")] == [("t", "a", 1), ("t", "b", 1), ("u", "a", 1)]
    await documents.edit([Edit("saved", "t", "a", 1, "new"), Edit("saved", "t", "b", 1, None)])
    assert list(await documents.documents("saved", "t")) == [Document("saved", "t", "a", 2, "new")]
    assert list(await documents.documents("saved", "u", "a")) == [Document("saved", "u", "a", 1, "x")]
    await documents.edit([])


@pytest.mark.parametrize(
    "wrong", [Edit("k", "t", "here", 0, "x"), Edit("k", "t", "here", 2, "x"), Edit("k", "t", "gone", 1, "x"), Edit("k", "t", "gone", 1, None), Edit("k", "t", "gone", 0, None)]
)
async def test_all_or_nothing(documents: Documents, wrong: Edit) -> None:
    await documents.edit([Edit("k", "t", "here", 0, "1")])
    for edits in ([Edit("k", "t", "a", 0, "1"), wrong], [wrong, Edit("k", "t", "z", 0, "1")]):
        with pytest.raises(Conflict):
            await documents.edit(edits)
    assert [(one.name, one.version) for one in await documents.documents("k")] == [("here", 1)]


async def test_of_several_at_once_one_wins(documents: Documents) -> None:
    for expected in range(3):
        outcomes = await asyncio.gather(*(documents.edit([Edit("k", "t", "n", expected, str(n))]) for n in range(6)), return_exceptions=True)
        assert sum(outcome is None for outcome in outcomes) == 1
        assert all(outcome is None or isinstance(outcome, Conflict) for outcome in outcomes)
    assert (await documents.documents("k"))[0].version == 3
