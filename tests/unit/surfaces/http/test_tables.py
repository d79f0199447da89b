import pytest


class OneFresh:
    """Fresh fields of one unpublished table, and one more field of a published one."""

    def fresh_fields(self, tenant: str):
        if tenant != "default":
            return {}
        return {
            "orders": {"city": frozenset(["str"])},
            "logs": {"status": frozenset(["f64"]), "new": frozenset(["bool"])},
        }


@pytest.fixture
def client(make_services, make_client):
    return make_client(make_services(fresh=OneFresh()))


async def test_tables(client):
    logs, orders = (await client.get("/api/v1/tables")).json()["tables"]
    assert logs == {
        "name": "logs", "fields": 3, "rows": 10, "fragments": 1, "bytes": 100, "raw_bytes": 1000,
        "start": "2026-01-01T00:00:00.000000000Z", "end": "2026-01-01T00:00:00.000000001Z",
    }  # fmt: skip
    assert (orders["name"], orders["rows"], orders["start"]) == ("orders", 0, None)
    assert (await client.get("/api/v1/tables", headers={"x-pulka-tenant": "acme"})).json() == {"tables": []}


@pytest.mark.parametrize("url", ["/api/v1/tables/logs/fields", "/api/v1/fields?table=logs"])
async def test_fields(client, url):
    assert (await client.get(url)).json() == {
        "table": "logs",
        "fields": [
            {"name": "new", "type": "bool", "types": ["bool"]},
            {"name": "status", "type": "str", "types": ["i64", "f64", "str"]},
            {"name": "timestamp", "type": "timestamp", "types": ["timestamp"]},
        ],
    }


async def test_an_unknown_table_names_the_nearest(client):
    answer = await client.get("/api/v1/tables/log/fields")
    assert (answer.status_code, answer.json()["kind"]) == (404, "not_found")
    assert "`logs`" in answer.json()["hint"]
