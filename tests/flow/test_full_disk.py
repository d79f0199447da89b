"""No space left: intake says so, keeps what it acknowledged, and recovers by itself.

The limit on file sizes stands in for the full disk, because it can be set on a running process without being root: writes
past it fail, and work again once it is lifted.
"""

import resource
from collections.abc import Callable
from typing import Any

import httpx
from tests.up import Up, ndjson
from tests.waiting import until


def send(up: Up, n: int) -> httpx.Response:
    body = ndjson([{"n": n, "row": row, "message": f"{n}-{row} " * 20} for row in range(200)])
    return up.client.post("/api/v1/ingest/logs", content=body, headers={"Idempotency-Key": str(n)}, timeout=60)


def limit_files(up: Up, size: int) -> None:
    _, hard = resource.prlimit(up.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(up.process.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_full_disk(start: Callable[..., Up]) -> None:
    up = start(flush_age_s=0.2)
    assert all(send(up, n).status_code == 200 for n in range(5))
    limit_files(up, 4096)
    refused = [answer for n in range(5, 30) if (answer := send(up, n)).status_code != 200]
    assert refused, "nothing was refused on a full disk"
    for answer in refused:
        assert answer.status_code == 503, answer.text
        assert answer.json()["kind"] == "temporary"
        assert "disk" in answer.json()["hint"]
        assert int(answer.headers["Retry-After"]) >= 1
    acked = 30 - len(refused)
    assert up.query("SELECT count(DISTINCT n) AS n FROM logs")[0]["n"] == acked
    assert up.client.get("/healthz").is_success
    assert ready(up, 503)["checks"]["writer"].startswith("default/logs cannot be turned into fragments")
    limit_files(up, resource.RLIM_INFINITY)
    assert [send(up, n).status_code for n in range(30)] == [200] * 30  # retries of what was refused, and of what was not
    assert up.query("SELECT count(*) AS c, count(DISTINCT n) AS n FROM logs") == [{"c": 6000, "n": 30}]
    until(lambda: stored(up), is_wanted=lambda rows: rows == {"logs": 6000})  # the writer, which failed as well, catches up by itself
    assert ready(up, 200)["status"] == "ready"
    up.kill()
    up = start()
    assert up.query("SELECT count(*) AS c FROM logs") == [{"c": 6000}]


def ready(up: Up, status: int) -> Any:
    """What /readyz says once it answers `status`."""
    return until(lambda: up.client.get("/readyz"), is_wanted=lambda answer: answer.status_code == status).json()


def stored(up: Up) -> dict[str, int]:
    """Rows in fragments, by table."""
    return {table["name"]: table["rows"] for table in up.client.get("/api/v1/tables").json()["tables"]}
