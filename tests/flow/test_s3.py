"""The whole lake with its fragments on S3: what a restart needs, what an outage does, what the tools say."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.s3 import S3
from tests.up import Up, cli, ndjson
from tests.waiting import until

Start = Callable[..., Up]
SECRET = "sesame-open"
QUICK = {"flush_age_s": 0.2, "objects_retry_s": 0.5, "objects_timeout_s": 2, "compaction_inputs": 3, "compaction_idle_s": 0.3}
COUNT = "SELECT count(*) AS c, count(DISTINCT n) AS d FROM logs"


@pytest.fixture
def remote(start: Start, s3: S3) -> Iterator[Start]:
    """start(**settings) on one bucket per test; no log may hold the secret."""
    url, started = s3.bucket(), []

    def run(**settings: Any) -> Up:
        started.append(start(**{"objects_url": url, **QUICK, **settings}))
        return started[-1]

    yield run
    s3.start() if not s3.running else None
    for up in started:
        assert SECRET not in up.log.read_text()


def settings_of(up: Up) -> dict[str, Any]:
    """For commands beside the lake."""
    return {"objects_url": up.objects_url, **QUICK}


def fill(up: Up, first: int, last: int) -> None:
    for n in range(first, last):
        flushes = up.metric("pulka_writer_flushes")
        up.ingest("logs", ndjson([{"n": n * 10 + i, "message": f"m{n}"} for i in range(10)]))
        until(lambda flushes=flushes: up.metric("pulka_writer_flushes") > flushes)


def counted(rows: int) -> list[dict[str, int]]:
    return [{"c": rows, "d": rows}]


def test_ingest_merge_restart_and_lose_the_cache(remote: Start) -> None:
    up = remote()
    fill(up, 0, 6)
    until(lambda: up.metric("pulka_compaction_merges") > 0)
    assert up.query(COUNT) == counted(60)
    assert up.metric("pulka_cache_misses") == 0  # what was flushed and merged here was never fetched
    assert up.stop() == 0
    assert not list((up.state / "objects").rglob("*.parquet")) if (up.state / "objects").exists() else True

    up = remote()
    assert up.query(COUNT) == counted(60)
    assert (up.metric("pulka_cache_misses"), up.metric("pulka_cache_hits") > 0) == (0, True)
    up.kill()

    shutil.rmtree(up.state / "cache")
    up = remote()
    assert up.query(COUNT) == counted(60)
    assert up.metric("pulka_cache_misses") > 0
    shutil.rmtree(up.state / "cache")  # while it runs
    assert up.query(COUNT) == counted(60)
    fill(up, 6, 7)
    assert up.query(COUNT) == counted(70)


def test_a_lake_whose_machine_is_lost_comes_back_from_the_bucket(remote: Start) -> None:
    up = remote()
    fill(up, 0, 5)
    assert up.stop() == 0
    shutil.rmtree(up.state)
    up.state.mkdir()
    done = cli(up, "store", "repair", **settings_of(up))
    assert done.returncode == 0, done.stderr
    up = remote()
    assert up.query(COUNT) == counted(50)


def test_an_outage_refuses_what_it_must_and_loses_nothing(remote: Start, s3: S3) -> None:
    up = remote()
    fill(up, 0, 4)
    shutil.rmtree(up.state / "cache")
    s3.stop()
    up.ingest("logs", ndjson([{"n": 40 + i} for i in range(10)]))  # the journal takes it
    answer = up.client.post("/api/v1/query", json={"sql": COUNT}, timeout=60)
    assert (answer.status_code, answer.json()["kind"]) == (503, "temporary")
    assert "object store cannot be used now: connection refused" in answer.json()["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    until(lambda: up.metric("pulka_writer_failures") > 0)
    assert up.client.get("/healthz").is_success
    s3.start()
    flushes = up.metric("pulka_writer_flushes")
    until(lambda: up.metric("pulka_writer_flushes") > flushes)
    assert up.query(COUNT) == counted(50)
    up.kill()
    up = remote()
    assert up.query(COUNT) == counted(50)


def test_a_query_larger_than_the_cache_says_which_setting(remote: Start) -> None:
    up = remote(cache_bytes_max=1 << 20, compaction_inputs=30, compaction_idle_s=100)
    noise = random.Random(3)
    for part in range(4):
        flushes = up.metric("pulka_writer_flushes")
        up.ingest("logs", ndjson([{"n": part * 1000 + i, "noise": noise.randbytes(200).hex()} for i in range(1500)]))
        until(lambda flushes=flushes: up.metric("pulka_writer_flushes") > flushes)
    stored = sum(row["bytes"] for row in json.loads(cli(up, "store", "ls", "--format", "json", **settings_of(up)).stdout))
    assert stored > 1 << 20, "the rows compress too well for this test"
    answer = up.client.post("/api/v1/query", json={"sql": COUNT}, timeout=60)
    assert (answer.status_code, answer.json()["kind"]) == (422, "limit_exceeded")
    assert "cache_bytes_max" in answer.json()["hint"]
    assert up.query("SELECT count(*) AS c FROM logs WHERE n = 4400") == [{"c": 1}]  # pruning leaves one fragment


def test_the_tools_work_on_s3(remote: Start) -> None:
    up = remote()
    fill(up, 0, 4)
    listed = cli(up, "store", "ls", "--format", "json", **settings_of(up))
    assert all(row["file"].startswith(f"{up.objects_url}/default/logs/") for row in json.loads(listed.stdout)), listed.stdout
    assert cli(up, "store", "usage", **settings_of(up)).returncode == 0
    assert up.stop() == 0
    for arguments in (("store", "check"), ("store", "check", "--verify"), ("store", "repair", "--orphans")):
        done = cli(up, *arguments, **settings_of(up))
        assert done.returncode == 0, (arguments, done.stderr)
    doctor = cli(up, "doctor", "--format", "json", **settings_of(up))
    assert {"check": "object store", "state": "ok"}.items() <= {row["check"]: row for row in json.loads(doctor.stdout)}["object store"].items()
    shown = cli(up, "config", "show", "--origin", **settings_of(up))
    assert up.objects_url in shown.stdout.replace("\n", "")
    assert SECRET not in listed.stdout + doctor.stdout + shown.stdout


@pytest.mark.parametrize(
    ("case", "code", "says"), [("no bucket", 2, "the bucket does not exist"), ("dead", 3, "connection refused"), ("no place", 2, "objects_url")]
)
def test_what_stands_in_the_way_at_the_start_is_told(s3: S3, tmp_path: Path, case: str, code: int, says: str) -> None:
    url = {"no bucket": "s3://no-such-lake/x", "no place": f"s3://key:{SECRET}@lake/x", "dead": s3.bucket()}[case]
    if case == "dead":
        s3.stop()
    try:
        done = refused(tmp_path / "state", url)
    finally:
        if case == "dead":
            s3.start()
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert SECRET not in done.stderr + done.stdout


def test_another_bucket_than_before_is_refused(remote: Start, s3: S3) -> None:
    up = remote()
    fill(up, 0, 1)
    assert up.stop() == 0
    done = refused(up.state, s3.bucket())
    assert (done.returncode, "not in the object store" in done.stderr) == (2, True), done.stderr


def refused(state: Path, url: str) -> CompletedProcess[str]:
    listen = {"otlp_http_listen": "off", "otlp_grpc_listen": "off"}
    return cli(None, "up", "--state-dir", str(state), "--listen", "127.0.0.1:0", **{**QUICK, **listen, "objects_url": url})
