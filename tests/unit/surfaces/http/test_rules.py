"""Deletes, policies and holds over HTTP: bodies, answers, refusals."""

import pytest

from pulka.errors import NotFound
from pulka.model.rules import Condition
from pulka.store.deletes import Deletes, condition_hash
from pulka.store.retention import Keeping
from pulka.testing.catalog import MemoryCatalog, MemoryFresh

WHERE = "message = 'secret'"


@pytest.fixture
def client(make_services, make_client, journal, engine, clock):
    catalog, fresh = MemoryCatalog(), MemoryFresh()

    async def bind(tenant, table, sql):
        if table != "logs":
            raise NotFound("there is no such table", hint="did you mean `logs`?")
        return Condition(sql, (("message", "str"),))

    async def reached(position):
        pass

    services = make_services(
        deletes=Deletes(catalog, journal, fresh, reached, engine, bind, clock), keeping=Keeping(catalog, clock, bind, 86400)
    )
    return make_client(services)


async def post(client, path, status=200, method="POST", **body):
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_delete(client):
    for message in ("secret", "secret", "other"):
        await client.post("/api/v1/ingest/logs", json=[{"message": message}])
    dry = await post(client, "/api/v1/deletes", table="logs", where=WHERE, dry_run=True)
    assert dry == {"rows_matched": 2, "dry_run": True}
    made = await post(client, "/api/v1/deletes", 202, table="logs", where=WHERE, by="eve", **{"from": "2026-01-01T00:00:00Z", "to": "now"})
    assert made | {"id": "", "condition_hash": ""} == {
        "id": "", "table": "logs", "state": "pending", "where": WHERE, "condition_hash": "", "from": "2026-01-01T00:00:00.000000000Z",
        "to": "2026-01-01T00:00:00.000000000Z", "created_at": "2026-01-01T00:00:00.000000000Z", "created_by": "eve", "rows_matched": 2,
        "rows_removed": 0, "fragments_left": 0, "done_at": None,
    }  # fmt: skip
    assert made["condition_hash"] == condition_hash(made["id"], WHERE)
    assert (await client.get("/api/v1/deletes")).json()["deletes"] == [made]
    assert (await client.get("/api/v1/deletes", headers={"x-pulka-tenant": "acme"})).json() == {"deletes": []}


async def test_policies(client):
    made = await post(client, "/api/v1/retention", method="PUT", table="logs", keep="3d", where=WHERE)
    await post(client, "/api/v1/retention", method="PUT", table="*", keep="0")
    found = (await client.get("/api/v1/retention")).json()
    assert found["default_s"] == 86400
    assert [(one["table"], one["where"], one["keep_s"]) for one in found["policies"]] == [("logs", WHERE, 3 * 86400), ("*", None, 0)]
    assert (await client.delete(f"/api/v1/retention/{made['id']}")).json() == made
    assert (await client.delete(f"/api/v1/retention/{made['id']}")).status_code == 404


async def test_holds(client):
    made = await post(client, "/api/v1/holds", table="logs", to="1h", reason="case 7", by="eve")
    assert (made["from"], made["to"], made["reason"]) == (None, "2025-12-31T23:00:00.000000000Z", "case 7")
    await client.post("/api/v1/ingest/logs", json=[{"message": "secret"}])
    await post(client, "/api/v1/deletes", 202, table="logs", where=WHERE)
    assert (await client.get("/api/v1/deletes")).json()["deletes"][0]["state"] == "held"
    assert (await client.get("/api/v1/holds")).json() == {"holds": [made]}
    assert (await client.delete(f"/api/v1/holds/{made['id']}", headers={"x-pulka-tenant": "acme"})).status_code == 404
    assert (await client.delete(f"/api/v1/holds/{made['id']}")).json() == made
    assert (await client.get("/api/v1/deletes")).json()["deletes"][0]["state"] == "pending"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/deletes", {"table": "logs"}, 400),
        ("POST", "/api/v1/deletes", {"table": "log", "where": "true"}, 404),
        ("POST", "/api/v1/deletes", {"table": "logs", "where": "true", "from": "now", "to": "1h"}, 400),
        ("POST", "/api/v1/deletes", {"table": "logs", "where": "a\x00b"}, 400),
        ("PUT", "/api/v1/retention", {"table": "logs", "keep": "soon"}, 400),
        ("PUT", "/api/v1/retention", {"table": "logs", "keep": "999999999w"}, 400),
        ("PUT", "/api/v1/retention", {"table": "*", "keep": "3d", "where": "true"}, 400),
        ("PUT", "/api/v1/retention", {"table": "No such", "keep": "3d"}, 400),
        ("POST", "/api/v1/holds", {"table": "UPPER"}, 400),
    ],
)
async def test_refusals(client, method, path, body, status):
    answer = await client.request(method, path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_a_server_without_them_says_so(make_services, make_client):
    answer = await make_client(make_services()).get("/api/v1/deletes")
    assert (answer.status_code, answer.json()["kind"]) == (404, "not_found")
