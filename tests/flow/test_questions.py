"""The questions over HTTP and on the command line, on a real server: answers, limits, problems, and whose rows are whose."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.flow.conftest import Up, cli

Start = Callable[..., Up]
AT = "2026-01-01T12:{:02}:{:02}Z"


def ndjson(rows: list[dict[str, Any]]) -> str:
    return "\n".join(map(json.dumps, rows))


LOGS = [
    {"timestamp": AT.format(n // 60, n % 60), "service": "web" if n % 2 else "cart", "severity": "ERROR" if n >= 300 and n % 2 else "INFO",
     "message": f"upstream {n} timed out" if n >= 300 and n % 2 else f"request {n} served in {n % 9} ms", "tags": ["a", {"b": n}]}
    for n in range(600)
]  # fmt: skip
SPANS = [
    row
    for n in range(50)
    for row in (
        {"timestamp": AT.format(0, n), "trace_id": f"t{n}", "span_id": "1", "service": "web", "name": "GET /", "kind": "server", "duration_ns": 9_000_000},
        {"timestamp": AT.format(0, n), "trace_id": f"t{n}", "span_id": "2", "parent_span_id": "1", "service": "cart", "name": "cart", "kind": "server",
         "duration_ns": 4_000_000, "status": "error" if n % 5 == 0 else "ok"},
    )
]  # fmt: skip




@pytest.fixture
def asked(start: Start) -> Callable[..., Any]:
    up = start()
    for table, rows in (("logs", LOGS), ("spans", SPANS)):
        response = up.client.post(f"/api/v1/ingest/{table}", content=ndjson(rows))
        assert response.status_code == 200, response.text
    secret = [{"timestamp": AT.format(0, 1), "service": "secret", "message": "secret 1", "trace_id": "t1", "span_id": "9", "duration_ns": 1}]
    for table in ("logs", "spans"):
        up.client.post(f"/api/v1/ingest/{table}", content=ndjson(secret), headers={"X-Pulka-Tenant": "other"})

    def ask(method: str, path: str, status: int = 200, tenant: str = "default", **given: Any) -> Any:
        response = up.client.request(method, f"/api/v1/{path}", headers={"X-Pulka-Tenant": tenant}, timeout=60, **given)
        assert response.status_code == status, response.text
        return response.json()

    ask.up = up
    return ask


def test_every_question(asked: Callable[..., Any]) -> None:
    compared = asked("POST", "compare", json={"selection": {"search": "severity:error"}, "by": "service"})
    assert compared["rows"] == {"selection": 150, "baseline": 450}
    assert {"severity", "service", "message"} <= {one["field"] for one in compared["fields"] if one["group"] is None}
    assert compared["stats"]["rows"] == 600
    windows = {"selection": {"start": AT.format(5, 0)}, "baseline": {"end": AT.format(5, 0), "where": "service = 'web'"}}
    assert asked("POST", "compare", json=windows)["rows"] == {"selection": 300, "baseline": 150}

    for found in (asked("POST", "patterns", json={"search": "service:web"}), asked("GET", "patterns", params={"where": "service = 'web'"})):
        assert {one["pattern"]: one["count"] for one in found["patterns"]} == {"request <*> served in <*> ms": 150, "upstream <*> timed out": 150}

    trace = asked("GET", "trace/t7")
    assert [(one["span_id"], one["depth"], one["self_ns"]) for one in trace["spans"]] == [("1", 0, 5_000_000), ("2", 1, 4_000_000)]
    services = asked("GET", "services")["services"]
    assert {one["service"]: (one["requests"], one["errors"]) for one in services} == {"web": (50, 0), "cart": (50, 10)}
    (edge,) = asked("GET", "map")["edges"]
    assert (edge["client"], edge["server"], edge["requests"], edge["error_share"], edge["source"]) == ("web", "cart", 50, 0.2, "spans")

    context = asked("GET", "context", params={"at": AT.format(1, 0), "search": "service:web", "before": 2, "after": 1})
    assert [row["message"].split()[1] for row in context["before"] + context["after"]] == ["57", "59", "61"]

    fields = {one["name"]: one for one in asked("GET", "fields", params={"table": "logs", "statistics": True})["fields"]}
    assert fields["service"]["top"] == [{"value": "cart", "count": 300}, {"value": "web", "count": 300}]
    assert fields["service"]["distinct"] == 2
    values = asked("GET", "values", params={"table": "logs", "field": "service", "prefix": "w"})["values"]
    assert values == [{"value": "web", "count": 300}]
    suggested = asked("GET", "complete", params={"search": "error service:w", "start": AT.format(0, 0)})
    assert (suggested["span"], suggested["suggestions"][0]) == ([14, 15], {"text": "web", "kind": "value", "detail": ""})
    rows = asked("POST", "query", json={"sql": "SELECT json(tags, '[1].b') AS b FROM logs WHERE search('upstream') ORDER BY timestamp LIMIT 1"})["rows"]
    assert rows == [{"b": "301"}]


def test_other_tenants_see_their_own(asked: Callable[..., Any]) -> None:
    assert asked("POST", "compare", tenant="other", json={"selection": {"search": "secret"}, "baseline": {}})["rows"] == {"selection": 1, "baseline": 1}
    answers = [
        asked("POST", "compare", json={"selection": {}, "baseline": {}}), asked("GET", "patterns"), asked("GET", "trace/t1"), asked("GET", "services"),
        asked("GET", "map"), asked("GET", "context", params={"at": AT.format(0, 1)}), asked("GET", "fields", params={"table": "logs", "statistics": True}),
        asked("GET", "values", params={"table": "logs", "field": "service"}),
    ]  # fmt: skip
    assert all("secret" not in json.dumps(answer) for answer in answers)
    for path, params in (("patterns", {}), ("services", {}), ("map", {}), ("values", {"table": "logs", "field": "service"})):
        assert "web" not in json.dumps(asked("GET", path, tenant="other", params=params))
    assert len(asked("GET", "trace/t1", tenant="other")["spans"]) == 1
    assert asked("GET", "services", tenant="nobody")["services"] == []


def test_problems_say_what_to_do(asked: Callable[..., Any]) -> None:
    for method, path, given, status, kind in (
        ("POST", "compare", {"json": {"selection": {"where": "nope = 1"}}}, 400, "bad_query"),
        ("POST", "compare", {"json": {"selection": {"search": "nope:1"}}}, 400, "bad_query"),
        ("POST", "compare", {"json": {"selection": {}, "table": "lgos"}}, 404, "not_found"),
        ("POST", "compare", {"json": {"selection": {}, "by": "servce"}}, 404, "not_found"),
        ("POST", "compare", {"json": {"selection": {"where": "1 = 1) OR (1 = 1", "search": "x"}}}, 400, "bad_input"),
        ("POST", "compare", {"json": {"selection": {"where": "1 = 1) OR (1 = 1"}}}, 400, "bad_query"),
        ("POST", "compare", {"json": {"selection": {}, "time_s": 0.000001}}, 422, "limit_exceeded"),
        ("GET", "patterns", {"params": {"field": "mesage"}}, 404, "not_found"),
        ("GET", "trace/absent", {}, 404, "not_found"),
        ("GET", "context", {"params": {"at": "yesterday"}}, 400, "bad_input"),
        ("GET", "values", {"params": {"table": "logs", "field": "nope"}}, 404, "not_found"),
        ("GET", "services", {"params": {"start": "now", "end": "1h"}}, 400, "bad_input"),
    ):  # fmt: skip
        told = asked(method, path, status=status, **given)
        assert told["kind"] == kind, (path, told)
        assert told["hint"], (path, told)


def test_the_command_line_asks_the_same(asked: Callable[..., Any]) -> None:
    up = asked.up
    compared = [json.loads(line) for line in cli(up, "compare", "severity:error", "--limit", "3").stdout.splitlines()]
    assert "severity" in {one["field"] for one in compared}
    table = cli(up, "compare", "severity:error", "--by", "service", "--format", "table").stdout
    assert "severity" in table and "100.0%" in table
    assert json.loads(cli(up, "patterns", "upstream", "--format", "json").stdout)[0]["count"] == 150
    assert "GET /" in cli(up, "trace", "t3", "--format", "table").stdout
    assert json.loads(cli(up, "trace", "t3").stdout.splitlines()[1])["depth"] == 1
    assert "web" in cli(up, "services", "--format", "table").stdout
    assert cli(up, "map", "--format", "csv").stdout.splitlines()[1].startswith("web,cart,spans,50")
