"""A tail goes on where it was, whoever reads it: one that waits (also where a loop runs, as in a notebook) and one that does not."""

import httpx
import pytest

from pulka.errors import Temporary
from pulka.surfaces.client import tailing


def told(*numbers, end=True):
    rows = "".join(f'id: 0-{n}\nevent: rows\ndata: [{{"n": {n}}}]\n\n' for n in numbers)
    return 'event: open\ndata: {}\n\nevent: heartbeat\ndata: {}\n\n' + rows + ('event: end\ndata: {}\n\n' if end else "event: rows\nda")


@pytest.fixture
def server(monkeypatch):
    """Answers one after the other; what it was asked."""
    monkeypatch.setattr(tailing, "_PAUSE_S", 0.001)
    answers, asked = [], []

    def answer(request):
        asked.append(dict(request.url.params))
        one = answers.pop(0)
        if isinstance(one, Exception):
            raise one
        return one if isinstance(one, httpx.Response) else httpx.Response(200, text=one)

    return answers, asked, httpx.MockTransport(answer)


async def read(transport, count, waits):
    """The first events, by either client."""
    question = {"table": "logs", "search": None, "last": 5}
    seen = []
    if waits:
        with httpx.Client(transport=transport, base_url="http://x") as client:
            for event in tailing.follow(client, question, {}):
                seen.append(event)
                if len(seen) == count:
                    return seen
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        async for event in tailing.follow_async(client, question, {}):
            seen.append(event)
            if len(seen) == count:
                return seen


@pytest.mark.parametrize("waits", [True, False])
async def test_it_connects_again_and_goes_on_behind_the_last(server, waits):
    answers, asked, transport = server
    answers += [told(1, 2), httpx.ConnectError("gone"), httpx.Response(503, json={}), told(3, end=False), told(4)]
    assert [event.data[0]["n"] for event in await read(transport, 4, waits)] == [1, 2, 3, 4]
    assert asked[0] == {"table": "logs", "last": "5"}
    assert [(one["after"], one["last"]) for one in asked[1:]] == [("0-2", "0")] * 3 + [("0-3", "0")]


@pytest.mark.parametrize("waits", [True, False])
async def test_the_first_connection_must_hold(server, waits):
    answers, _, transport = server
    answers += [httpx.Response(503, json={"kind": "temporary", "detail": "not now"})]
    with pytest.raises(Temporary, match="not now"):
        await read(transport, 1, waits)
    answers += [httpx.ConnectError("nobody")]
    with pytest.raises(httpx.ConnectError):
        await read(transport, 1, waits)


@pytest.mark.parametrize("waits", [True, False])
async def test_it_gives_up_after_five_minutes_without_a_connection(server, waits, monkeypatch):
    answers, _, transport = server
    moments = iter(range(0, 10_000, 200))
    monkeypatch.setattr("pulka.clock.SystemClock.monotonic_s", lambda _: next(moments))
    answers += [told(1), *[httpx.ConnectError("gone")] * 3]
    with pytest.raises(httpx.ConnectError):
        await read(transport, 2, waits)
    assert answers == []
