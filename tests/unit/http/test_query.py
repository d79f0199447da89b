import asyncio
import csv
import io
import json

import pyarrow as pa
import pytest

from pulka.model.windows import TimeRange
from pulka.surfaces.http import HttpSettings, create_app

HOUR_NS = 3_600_000_000_000
NOW_NS = 1_767_225_600_000_000_000
VALUES = pa.table({
    "at": pa.array([NOW_NS + 123_456_789, None], pa.timestamp("ns", "UTC")),
    "big": pa.array([2**63 - 1, -(2**63)]),
    "ratio": pa.array([float("nan"), 0.1]),
    "text": pa.array(["ř,\"\n", None]),
    "many": pa.array([[NOW_NS + 1], None], pa.list_(pa.timestamp("ns", "UTC"))),
    "ok": pa.array([True, None]),
})  # fmt: skip
SQL = 'select * from "values_table" order by big desc'


@pytest.fixture(autouse=True)
def values(engine):
    engine.tables["values_table"] = VALUES


async def ask(client, name: str | None, **headers: str):
    return await client.post("/api/v1/query", json={"sql": SQL, "format": name}, headers=headers)


async def test_json(client):
    answer = await ask(client, "json")
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert [column["name"] for column in told["columns"]] == VALUES.column_names
    first, second = told["rows"]
    assert first["at"] == "2026-01-01T00:00:00.123456789Z"
    assert (first["big"], second["big"]) == (2**63 - 1, -(2**63))
    assert (first["ratio"], second["ratio"]) == (None, 0.1)
    assert (first["text"], first["ok"]) == ('ř,"\n', True)
    assert "00:00:00.000000001" in first["many"][0]
    assert second["at"] is None
    assert told["stats"]["rows"] == 2


async def test_ndjson_ends_with_statistics(client):
    lines = (await ask(client, "ndjson")).text.splitlines()
    assert [json.loads(line)["big"] for line in lines[:-1]] == [2**63 - 1, -(2**63)]
    assert json.loads(lines[-1])["_stats"]["rows"] == 2


async def test_csv(client):
    answer = await ask(client, "csv")
    assert answer.headers["content-type"].startswith("text/csv")
    header, first, second = csv.reader(io.StringIO(answer.text))
    assert header == VALUES.column_names
    assert first[:2] == ["2026-01-01T00:00:00.123456789Z", str(2**63 - 1)]
    assert first[3] == 'ř,"\n'
    assert "2026-01-01" in json.loads(first[4])[0]
    assert second[3] == ""


async def test_arrow_carries_statistics_in_its_last_batch(client):
    body = (await ask(client, "arrow")).content
    assert pa.ipc.open_stream(body).read_all().num_rows == 2
    reader = pa.ipc.open_stream(body)
    *_, (last, metadata) = reader.iter_batches_with_custom_metadata()
    assert last.num_rows == 0
    assert json.loads(metadata[b"pulka.stats"])["rows"] == 2


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/json"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/html, text/csv;q=0.9", "text/csv"),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
    ],
)
async def test_accept_chooses(client, accept, expected):
    assert (await ask(client, None, accept=accept)).headers["content-type"].startswith(expected)


@pytest.mark.parametrize("name", ["json", "ndjson", "csv", "arrow"])
async def test_results_without_rows(client, name):
    answer = await client.post(
        "/api/v1/query", json={"sql": 'select big, at from "values_table" where false', "format": name}
    )
    assert answer.status_code == 200
    if name == "json":
        assert answer.json()["rows"] == []
    elif name == "ndjson":
        assert len(answer.text.splitlines()) == 1
    elif name == "csv":
        assert answer.text.strip() == '"big","at"'
    else:
        assert pa.ipc.open_stream(answer.content).read_all().schema.names == ["big", "at"]


async def test_windows_and_limits_reach_the_engine(client, engine):
    body = {
        "sql": SQL,
        "window": {"start": "2h", "end": "2026-01-01T01:00:00.5+01:00"},
        "limits": {"rows": 5, "time_s": 1.5},
    }
    assert (await client.post("/api/v1/query", json=body)).status_code == 200
    _, tenant, window, limits = engine.asked[-1]
    assert tenant == "default"
    assert window == TimeRange(NOW_NS - 2 * HOUR_NS, NOW_NS + 500_000_000)
    assert (limits.rows, limits.time_s, limits.memory_bytes) == (5, 1.5, None)


async def test_a_query_as_a_link(client, engine):
    answer = await client.get("/api/v1/query", params={"sql": SQL, "start": "1h", "end": "now", "format": "ndjson"})
    assert len(answer.text.splitlines()) == 3
    assert engine.asked[-1][2] == TimeRange(NOW_NS - HOUR_NS, NOW_NS)


async def test_rows_are_limited_by_the_setting(make_services, make_client, engine):
    client = make_client(make_services(settings=HttpSettings(query_rows_max=7)))
    await ask(client, "json")
    assert engine.asked[-1][3].rows == 7


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sql": ""},
        {"sql": SQL, "format": "xml"},
        {"sql": SQL, "windows": {}},
        {"sql": SQL, "window": {"start": "yesterday"}},
        {"sql": SQL, "window": {"start": "2026-13-01T00:00:00Z"}},
        {"sql": SQL, "window": {"start": "9999-01-01T00:00:00Z"}},
        {"sql": SQL, "window": {"start": "1h", "end": "2h"}},
        {"sql": SQL, "limits": {"rows": -1}},
    ],
)
async def test_what_is_wrong_is_a_problem(client, body):
    answer = await client.post("/api/v1/query", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["kind"] == "bad_input"


async def test_bad_sql_is_a_problem_without_the_sql(client):
    answer = await client.post("/api/v1/query", json={"sql": "selec 'secret'"})
    assert (answer.status_code, answer.json()["kind"]) == (400, "bad_query")
    assert "secret" not in answer.text


async def test_a_failure_midway_is_told_in_the_stream(client, engine):
    engine.fail_after = 1
    sql = 'select big from "values_table" union all select big from "values_table"'
    lines = (await client.post("/api/v1/query", json={"sql": sql, "format": "ndjson"})).text.splitlines()
    assert json.loads(lines[-1])["_error"]["kind"] == "bad_query"
    told = (await client.post("/api/v1/query", json={"sql": sql, "format": "json"})).json()
    assert told["error"]["kind"] == "bad_query"
    assert "stats" not in told


async def test_explain(client):
    answer = await client.post("/api/v1/explain", json={"sql": SQL, "window": {"start": "1h"}})
    assert answer.json() == {"plan": "scan", "window": [NOW_NS - HOUR_NS, None]}


@pytest.mark.parametrize("path", ["query", "explain"])
async def test_who_hangs_up_ends_the_work(services, engine, path, monkeypatch):
    ended = []

    async def endless(*_):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(path)

    monkeypatch.setattr(engine, "run", endless)
    monkeypatch.setattr(engine, "explain", endless)
    heard = iter([{"type": "http.request", "body": json.dumps({"sql": SQL}).encode()}, {"type": "http.disconnect"}])

    async def receive():
        return next(heard)

    async def send(_):
        pass

    scope = {
        "type": "http", "method": "POST", "path": f"/api/v1/{path}", "raw_path": b"", "query_string": b"", "root_path": "",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    await asyncio.wait_for(create_app(services)(scope, receive, send), 10)
    assert ended == [path]


async def test_a_question_is_not_read_beyond_its_bound(make_services, make_client, engine):
    client = make_client(make_services(settings=HttpSettings(question_bytes_max=10_000)))
    read = 0

    async def endless():
        nonlocal read
        for _ in range(100):
            read += 1000
            yield b" " * 1000

    answer = await client.post("/api/v1/query", content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["kind"]) == (413, "too_large")
    assert read <= 12_000
    assert (await client.post("/api/v1/ingest/logs", content=b'{"message":"a"}\n' * 1000)).json()["rows"] == 1000
    assert engine.asked == []


async def test_a_tenant_asks_its_own_tables(client):
    await client.post("/api/v1/ingest/logs", content=b'{"message":"a"}', headers={"x-pulka-tenant": "acme"})
    sql = {"sql": "select message from logs"}
    mine = await client.post("/api/v1/query", json=sql, headers={"x-pulka-tenant": "acme"})
    assert mine.json()["rows"] == [{"message": "a"}]
    assert (await client.post("/api/v1/query", json=sql)).status_code == 400
