"""The main job on the real process: bytes in, durable, SQL out."""

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest
from tests.up import Up, cli, ndjson
from tests.waiting import until

Start = Callable[..., Up]


def test_acknowledged_is_visible_and_stays_so_after_a_restart(start: Start) -> None:
    up = start()
    for n in range(5):
        up.ingest("logs", ndjson([{"service": "web", "n": n}]))
        until(lambda n=n: up.query("SELECT count(*) AS c FROM logs") == [{"c": n + 1}])
    assert up.stop() == 0
    up = start()
    assert up.query("SELECT n FROM logs ORDER BY n") == [{"n": n} for n in range(5)]


def test_files_are_plain_parquet(start: Start) -> None:
    up = start()
    rows = [{"service": f"s{n % 3}", "Message": f"upper {n}", "message": f"lower {n}", "code": n if n % 2 else str(n)} for n in range(500)]
    up.ingest("logs", ndjson(rows))
    assert up.stop() == 0
    files = [str(path) for path in (up.state / "objects").rglob("*.parquet")]
    assert files
    assert duckdb.sql(f"SELECT count(*), count(DISTINCT message) FROM read_parquet({files!r})").fetchall() == [(500, 500)]
    frame = pl.concat([pl.read_parquet(file) for file in files], how="diagonal")
    assert frame.height == 500
    assert sorted(frame["Message"].to_list()) == sorted(str(row["Message"]) for row in rows)


def test_a_retry_is_stored_once(start: Start) -> None:
    up = start()
    first = up.ingest("logs", b'{"message":"once"}', **{"Idempotency-Key": "k1"})
    up.kill()
    up = start()
    again = up.ingest("logs", b'{"message":"once"}', **{"Idempotency-Key": "k1"})
    assert (first["rows"], again["rows"], again["duplicate"]) == (1, 1, True)
    assert up.query("SELECT count(*) AS c FROM logs") == [{"c": 1}]


def test_a_second_up_on_the_same_state_is_refused(start: Start) -> None:
    up = start()
    done = cli(None, "up", "--state-dir", str(up.state), "--listen", "127.0.0.1:0", otlp_http_listen="off", otlp_grpc_listen="off")
    assert done.returncode == 2
    assert "in use by another Pulka" in done.stderr
    assert str(up.process.pid) in done.stderr


def test_a_port_in_use_is_named(start: Start, tmp_path: Path) -> None:
    up = start()
    address = up.url.removeprefix("http://")
    done = cli(None, "up", "--state-dir", str(tmp_path / "other"), "--listen", address, otlp_http_listen="off", otlp_grpc_listen="off")
    assert done.returncode == 2
    assert address in done.stderr


def test_tenants_do_not_meet(start: Start) -> None:
    up = start()
    up.ingest("logs", b'{"message":"a"}', **{"X-Pulka-Tenant": "one"})
    up.ingest("logs", b'{"message":"b"}', **{"X-Pulka-Tenant": "two"})
    answer = up.client.post("/api/v1/query", json={"sql": "SELECT message FROM logs", "format": "json"}, headers={"X-Pulka-Tenant": "one"})
    assert answer.json()["rows"] == [{"message": "a"}]


def test_broken_lines_are_named_and_the_rest_is_kept(start: Start, tmp_path: Path) -> None:
    up = start()
    path = tmp_path / "app.ndjson"
    path.write_bytes(b'{"a":1}\n{"a":\n\n[1]\n{"a":2}\n' + b"\xff\xfe{\n" + b'{"a":"\xff"}\n')
    done = cli(up, "ingest", str(path), "--table", "odd")
    assert done.returncode == 1
    assert "3 rows stored, 3 rejected" in done.stdout
    assert f"{path}:2: broken_json" in done.stderr
    assert f"{path}:4: not_an_object" in done.stderr
    assert f"{path}:6:" in done.stderr
    assert "bad_utf8" in done.stderr


def test_ingest_reads_globs_stdin_and_compressed_files(start: Start, tmp_path: Path) -> None:
    up = start()
    for n in range(3):
        (tmp_path / f"{n}.ndjson.gz").write_bytes(gzip.compress(ndjson([{"n": n}] * 10)))
    assert "30 rows stored" in cli(up, "ingest", str(tmp_path / "*.ndjson.gz"), "--table", "t").stdout
    assert "1 rows stored" in cli(up, "ingest", "-", "--table", "t", "--field", "service=cron", stdin=b'{"n":9}\n').stdout
    assert up.query("SELECT count(*) AS c, count(service) AS s FROM t") == [{"c": 31, "s": 1}]


def test_the_command_line_answers(start: Start) -> None:
    up = start(flush_age_s=600)  # `tail` shows what is held, however long the commands before it take
    ahead = time.time_ns()
    up.ingest("logs", ndjson([{"timestamp": ahead, "service": "web", "http": {"status_code": 500 + n}} for n in range(3)]))
    sql = "SELECT http.status_code AS code FROM logs ORDER BY 1"
    assert cli(up, "query", sql, "--format", "ndjson").stdout.splitlines() == ['{"code":500}', '{"code":501}', '{"code":502}']
    assert cli(up, "query", sql, "--format", "csv").stdout.replace('"', "").split() == ["code", "500", "501", "502"]
    assert "501" in cli(up, "query", sql, "--format", "table").stdout
    assert "fragments" in cli(up, "query", sql, "--explain", "--format", "table").stdout
    missing = cli(up, "query", "SELECT servce FROM logs", "--format", "json")
    assert missing.returncode == 1
    error = json.loads(missing.stdout)["error"]
    assert error["kind"] == "bad_query"
    assert "service" in error["hint"]
    assert cli(up, "tail", "logs", "--count", "3").stdout.count("web") == 3
    assert cli(up, "doctor").returncode in (0, 1)
    assert "edge_enabled is off" in cli(up, "doctor", "--format", "csv").stdout
    assert "pulka" in cli(up, "version").stdout
    assert cli(up, "store", "usage").returncode == 0
    assert up.stop() == 0
    assert cli(up, "store", "check").returncode == 0
    assert '"rows": 3' in cli(up, "store", "ls", "--format", "ndjson").stdout


def test_no_server_is_temporary() -> None:
    done = cli(None, "query", "SELECT 1", "--url", "http://127.0.0.1:9", "--format", "json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["kind"] == "temporary"


def test_gzip_bomb_and_oversize(start: Start) -> None:
    up = start(body_bytes_max=4 << 20)
    bomb = gzip.compress(b" " * (64 << 20))
    answer = up.client.post("/api/v1/ingest/logs", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert answer.json()["kind"] == "too_large"


def test_odd_times_and_sizes(start: Start) -> None:
    up = start()
    rows = [
        {"k": "zero", "timestamp": 0}, {"k": "future", "timestamp": "2100-01-01T00:00:00Z"}, {"k": "none"},
        {"k": "good", "timestamp": "2024-02-03T04:05:06.123456789Z"}, {"k": "big", "message": "m" * (5 << 20)}, {"k": "16k", "message": "m" * 16384},
    ]  # fmt: skip
    outcome = up.ingest("odd", ndjson(rows))
    assert outcome["rows"] == 6
    assert outcome["warnings"]["timestamp_out_of_range"] == 2
    found = {row["k"]: row for row in up.query("SELECT k, timestamp, length(message) AS size, truncated, timestamp_original AS was FROM odd")}
    assert found["good"]["timestamp"] == "2024-02-03T04:05:06.123456789Z"
    assert found["zero"]["was"] == "0"
    assert (found["big"]["size"], found["big"]["truncated"], found["16k"]["size"]) == (1 << 20, "message", 16384)


@pytest.mark.parametrize("what", ["empty", "truncated gzip", "not json"])
def test_bad_bodies_are_client_errors(start: Start, what: str) -> None:
    up = start()
    body, headers = {
        "empty": (b"", {}),
        "truncated gzip": (gzip.compress(b'{"a":1}' * 1000)[:-20], {"Content-Encoding": "gzip"}),
        "not json": (b"hello", {}),
    }[what]
    answer = up.client.post("/api/v1/ingest/logs", content=body, headers=headers)
    if what == "not json":
        assert answer.json()["rejected"] == 1
    elif what == "empty":
        assert answer.status_code in (200, 400)
    else:
        assert answer.status_code == 400


def test_compaction_is_shown_and_done_by_hand(start: Start) -> None:
    up = start(flush_age_s=0.05, compaction_inputs=1000, compaction_idle_s=3600)
    for n in range(4):
        up.ingest("logs", ndjson([{"timestamp": "2026-01-01T03:00:00Z", "service": f"s{n}", "n": n}]))
        until(lambda n=n: len(cli(up, "store", "ls", "--format", "ndjson").stdout.splitlines()) == n + 1)
    refused = cli(up, "store", "compact", "--now")
    assert (refused.returncode, "stop it first" in refused.stderr) == (2, True)
    assert cli(up, "store", "compact").returncode == 2
    (planned,) = [json.loads(line) for line in cli(up, "store", "compact", "--plan", "--format", "ndjson", compaction_idle_s=0).stdout.splitlines()]
    assert (planned["stage"], planned["fragments"], planned["rows"]) == ("fold", 4, 4)
    assert "fold" in cli(up, "store", "compact", "--plan", "--format", "csv", compaction_idle_s=0).stdout
    assert up.stop() == 0
    assert "1 merges of 4 fragments into 1" in cli(up, "store", "compact", "--now", compaction_idle_s=0).stdout
    assert "nothing to merge" in cli(up, "store", "compact", "--now", compaction_idle_s=0).stdout
    up = start()
    assert up.query("SELECT n FROM logs ORDER BY n") == [{"n": n} for n in range(4)]


def test_the_agent_is_on_off_or_auto(tmp_path: Path) -> None:
    done = cli(None, "up", "--state-dir", str(tmp_path), "--listen", "127.0.0.1:0", "--set", "edge_enabled=maybe", otlp_http_listen="off", otlp_grpc_listen="off")
    assert (done.returncode, "edge_enabled" in done.stderr) == (2, True), done.stderr
