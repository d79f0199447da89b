"""Searches on the real process, over HTTP and the command line."""

import json
import time
from collections.abc import Callable

from tests.up import Up, cli, ndjson

Start = Callable[..., Up]
EVENTS = [
    {"service": "web", "severity": "ERROR", "message": "Connection reset by peer", "http": {"status_code": 502}, "path": "/api/cart", "trace_id": "t1", "ip": "10.0.0.1"},
    {"service": "web", "severity": "INFO", "message": "served", "http": {"status_code": 200}, "path": "/api/cart", "env": "dev", "ip": "2001:db8::1"},
    {"service": "db", "severity": "WARN", "message": "slow", "ip": "::ffff:10.0.0.2"},
]  # fmt: skip


def test_search_from_the_command_line(start: Start) -> None:
    up = start(flush_age_s=600)  # `tail` shows what is held, however long the commands before it take
    ahead = time.time_ns()
    up.ingest("logs", ndjson([{**event, "timestamp": ahead + number} for number, event in enumerate(EVENTS)]))
    up.ingest("order", ndjson([{"message": "a word of SQL as a table"}]))
    search = 'service:web status:error http.status_code:>=500 "connection reset" -env:dev path:/api/* has:trace_id'
    done = cli(up, "query", "-s", search, "--show-sql", "--format", "ndjson")
    assert [json.loads(line)["trace_id"] for line in done.stdout.splitlines()] == ["t1"]
    assert "SELECT * FROM logs WHERE service = 'web' AND" in done.stderr
    assert len(cli(up, "query", "--search", "ip:10.0.0.0/8", "--format", "csv").stdout.splitlines()) == 3
    assert len(cli(up, "query", "--search", "ip:2001:db8::/32", "--limit", "1", "--format", "ndjson").stdout.splitlines()) == 1
    assert "a word of SQL" in cli(up, "query", "--search", "", "--table", "order", "--format", "ndjson").stdout
    assert "fragments" in cli(up, "query", "--search", search, "--explain", "--format", "table").stdout
    wrong = cli(up, "query", "--search", "servce:web", "--format", "json")
    assert wrong.returncode == 1
    assert "column 1" in json.loads(wrong.stdout)["error"]["message"]
    assert cli(up, "query", "SELECT 1", "--search", "x").returncode == 2
    tailed = cli(up, "tail", "--search", "level:>=warn", "--count", "2").stdout
    assert "Connection reset" in tailed
    assert "slow" in tailed
    assert "served" not in tailed
    assert cli(up, "tail", "--count", "3").stdout.count("\n") == 3
    assert "slow" in cli(up, "tail", "logs", "--where", "service = 'db'", "--count", "1").stdout
