import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.edge.packets import exchange, pcap

from pulka.errors import BadInput
from pulka.surfaces.cli.main import cli

REQUEST, ANSWER = b"GET /a/1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.pcap"
    path.write_bytes(pcap(exchange(REQUEST, ANSWER)))
    return str(path)


def _rows(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(cli, ["edge", "pcap", *arguments, "--format", "ndjson"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_red_is_the_default(trace: str) -> None:
    (row,) = _rows(trace)
    assert (row["protocol"], row["operation"], row["target"], row["status"], row["error"], row["count"]) == ("http1", "GET", "/a/*", "500", "500", 1)
    assert row["p50_ms"] == 5.0


def test_transactions_and_connections(trace: str) -> None:
    (row,) = _rows(trace, "--transactions")
    assert (row["timestamp"], row["error"], row["duration_ms"]) == ("2001-09-09T01:46:40.000000002Z", "500", 5.0)
    (row,) = _rows(trace, "--connections")
    assert (row["protocol"], row["transactions"]) == ("http1", 1)


def test_a_table_and_a_wrong_file(trace: str, tmp_path: Path) -> None:
    result = CliRunner(env={"COLUMNS": "120"}).invoke(cli, ["edge", "pcap", trace, "--format", "table"])
    assert "http1" in result.stdout
    assert "/a/*" in result.stdout
    assert "request_bytes" not in result.stdout
    (tmp_path / "no.pcap").write_text("no")
    with pytest.raises(BadInput):
        CliRunner().invoke(cli, ["edge", "pcap", str(tmp_path / "no.pcap")], catch_exceptions=False)
