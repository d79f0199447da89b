"""GET /api/v1/complete: suggestions with the span that they replace."""

import pyarrow as pa
import pytest

NOW_NS = 1_767_225_600_000_000_000


@pytest.fixture(autouse=True)
def logs(engine):
    times = pa.array([NOW_NS - 1, NOW_NS - 2, NOW_NS - 3], pa.timestamp("ns", "UTC"))
    engine.tables["logs"] = pa.table({"timestamp": times, "service": ["web", "web", "db"], "status": ["200", "500", "500"]})


async def test_fields_and_keywords(client):
    told = (await client.get("/api/v1/complete", params={"search": "web sta"})).json()
    assert told["span"] == [4, 7]
    assert told["suggestions"][0] == {"text": "status:", "kind": "field", "detail": "str"}


async def test_the_part_behind_the_cursor_is_replaced_too(client):
    told = (await client.get("/api/v1/complete", params={"search": "status:5xx web", "position": 8})).json()
    assert told["span"] == [7, 10]
    assert told["suggestions"][0] == {"text": '"500"', "kind": "value", "detail": ""}


async def test_values_are_looked_for_in_the_last_hour(client, engine):
    await client.get("/api/v1/complete", params={"search": "status:"})
    sql, tenant, window, limits = engine.asked[-1]
    assert (tenant, window.start_ns, limits.time_s) == ("default", NOW_NS - 3_600_000_000_000, 1.0)
    await client.get("/api/v1/complete", params={"search": "sta"})
    assert engine.asked[-1][0] == sql, "fields need no query"


@pytest.mark.parametrize(("params", "status"), [({"table": "nothing"}, 404), ({"position": -1}, 400), ({"search": "\0"}, 400), ({"start": "x"}, 400)])
async def test_what_is_wrong_is_a_problem(client, params, status):
    assert (await client.get("/api/v1/complete", params={"search": "status:", **params})).status_code == status


async def test_any_position_of_any_text_has_an_answer(client):
    text = "((a:(b OR -c) é\ud800".encode("utf-8", "replace").decode() + ' "'
    for position in range(len(text) + 3):
        answer = await client.get("/api/v1/complete", params={"search": text, "position": position})
        assert answer.status_code == 200
