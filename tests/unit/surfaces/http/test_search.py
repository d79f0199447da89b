import json
from urllib.parse import unquote

import pyarrow as pa
import pytest

NOW_NS = 1_767_225_600_000_000_000
LOGS = pa.table({
    "timestamp": pa.array([NOW_NS - 1, NOW_NS - 2, NOW_NS - 3], pa.timestamp("ns", "UTC")),
    "service": ["web", "db", "o'brien é%"],
    "message": ["Connection reset", "ok", "reset"],
})  # fmt: skip


@pytest.fixture(autouse=True)
def logs(engine):
    engine.tables["logs"] = LOGS


async def post(client, **body):
    return await client.post("/api/v1/query", json=body)


async def test_a_search_is_answered_and_its_sql_shown(client):
    answer = await post(client, search="reset", columns=["service"], limit=2)
    sql = "SELECT service FROM logs WHERE message ILIKE '%reset%' ORDER BY timestamp DESC LIMIT 2"
    assert [row["service"] for row in answer.json()["rows"]] == ["web", "o'brien é%"]
    assert answer.json()["stats"]["sql"] == sql
    assert unquote(answer.headers["pulka-sql"]) == sql


async def test_values_beyond_ascii_survive_the_header(client):
    answer = await post(client, search='service:"o\'brien é%"\n', order="oldest")
    assert "WHERE service = 'o''brien é%' ORDER BY timestamp LIMIT 1000" in unquote(answer.headers["pulka-sql"])
    assert len(answer.json()["rows"]) == 1


async def test_a_long_statement_is_in_the_statistics_only(client):
    answer = await post(client, search="x" * 5000)
    assert "pulka-sql" not in answer.headers
    assert "x" * 5000 in answer.json()["stats"]["sql"]


async def test_sql_is_not_repeated(client):
    answer = await post(client, sql="select 1 from logs")
    assert "pulka-sql" not in answer.headers
    assert "sql" not in answer.json()["stats"]


async def test_a_search_as_a_link(client, engine):
    parameters = {"search": "reset", "columns": ["service", "message"], "format": "ndjson", "order": "any", "start": "1h"}
    answer = await client.get("/api/v1/query", params=parameters)
    assert [list(json.loads(line)) for line in answer.text.splitlines()[:-1]] == [["service", "message"]] * 2
    assert engine.asked[-1][2].start_ns == NOW_NS - 3_600_000_000_000


async def test_relative_times_count_from_the_servers_clock(client):
    answer = await post(client, search="timestamp:>=now-15m", columns=["service"])
    assert "TIMESTAMP '2025-12-31T23:45:00Z'" in answer.json()["stats"]["sql"]


async def test_an_explanation_of_a_search(client):
    answer = await client.post("/api/v1/explain", json={"search": "reset"})
    assert answer.json()["plan"] == "scan"
    assert "ILIKE" in answer.headers["pulka-sql"]


async def test_an_error_says_where(client):
    answer = await post(client, search="reset servce:web")
    problem = answer.json()
    assert (answer.status_code, problem["kind"], problem["span"]) == (400, "bad_query", [6, 12])
    assert problem["detail"].startswith("column 7: ")
    assert "`service`" in problem["hint"]
    assert "span" not in (await post(client, sql="selec 1")).json()


async def test_an_unknown_table_names_the_nearest(client):
    answer = await post(client, search="reset", table="span")
    assert (answer.status_code, answer.json()["kind"]) == (404, "not_found")
    assert "`spans`" in answer.json()["hint"]


@pytest.mark.parametrize(
    "body",
    [
        {"search": "a", "sql": "select 1"},
        {"search": "a", "limit": 0},
        {"search": "a", "order": "random"},
        {"search": "(" * 10_000},
        {"search": "a", "columns": ["nothing"]},
    ],
)
async def test_what_is_wrong_is_a_problem(client, body):
    answer = await post(client, **body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
