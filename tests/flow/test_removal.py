"""Deletes, retention, holds and usage on a real process, by HTTP and by the command line."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from tests.up import Up, cli, ndjson
from tests.waiting import until

QUICK = {"flush_age_s": 0.2, "compaction_idle_s": 0.2, "collect_grace_s": 0.5, "rewrite_interval_s": 0.2}
SECRET = "alice@example.com"


def event(number: int, user: str, ago: timedelta = timedelta(), **more: Any) -> dict[str, Any]:
    moment = datetime.now(UTC) - ago
    return {"timestamp": moment.isoformat(), "n": number, "user": {"id": user}, "message": f"hello {user}", **more}


def numbers(up: Up, tenant: str = "default") -> list[int]:
    answer = up.client.post("/api/v1/query", json={"sql": "SELECT n FROM logs ORDER BY n", "format": "json"}, headers={"X-Pulka-Tenant": tenant}, timeout=60
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return [row["n"] for row in answer.json()["rows"]]


def stored(up: Up, tenant: str = "default") -> set[int]:
    """What the objects hold, read without Pulka; a file may go while we look."""
    found: set[int] = set()
    for path in (up.state / "objects" / tenant).rglob("*.parquet"):
        try:
            found.update(pl.read_parquet(path, columns=["n"])["n"])
        except FileNotFoundError:
            continue
    return found


def wait(for_what: Callable[[], bool], what: str) -> None:
    until(for_what, lambda: f"not in a minute: {what}")


def listed(up: Up) -> list[dict[str, Any]]:
    done = cli(up, "store", "deletes", "--format", "json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_a_delete_from_request_to_the_last_byte(start: Callable[..., Up]) -> None:
    up = start(**QUICK)
    events = [event(n, SECRET if n % 3 == 0 else "bob") for n in range(30)]
    for part in (events[:10], events[10:20]):
        up.ingest("logs", ndjson(part))
        wait(lambda part=part: {one["n"] for one in part} <= stored(up), "the flush")
    up.ingest("logs", ndjson(events[20:]))
    up.ingest("logs", ndjson(events[:3]), **{"X-Pulka-Tenant": "other"})

    dry = cli(up, "store", "delete", "logs", "--where", f"user.id = '{SECRET}'", "--dry-run", "--format", "json")
    assert (dry.returncode, json.loads(dry.stdout)) == (0, [{"table": "logs", "rows_matched": 10, "dry_run": True}])
    assert len(numbers(up)) == 30

    made = cli(up, "store", "delete", "logs", "--where", f"user.id = '{SECRET}'", "--format", "json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)[0]["rows_matched"] == 10
    left = [n for n in range(30) if n % 3]
    assert numbers(up) == left
    up.ingest("logs", ndjson([event(100, SECRET)]))
    assert numbers(up) == [*left, 100]

    wait(lambda: listed(up)[0]["state"] == "done", "the delete to be done")
    (done,) = listed(up)
    assert (done["rows_removed"], done["fragments_left"], done["where"]) == (10, 0, None)
    wait(lambda: stored(up) == {*left, 100}, "the later event to be flushed")
    assert numbers(up) == [*left, 100]
    assert numbers(up, "other") == [0, 1, 2]
    up.kill()
    assert SECRET not in up.log.read_text()
    again = start(**QUICK)
    assert numbers(again) == [*left, 100]


def test_retention_and_holds(start: Callable[..., Up]) -> None:
    up = start(**QUICK, retention_s=3600)
    old, older = timedelta(hours=3), timedelta(days=3)
    held = cli(up, "store", "hold", "set", "logs", "--to", "2d", "--reason", "case 7", "--format", "json")
    assert held.returncode == 0, held.stderr
    up.ingest("logs", ndjson([event(1, "a"), event(2, "a", old), event(3, "a", older, severity="ERROR"), event(4, "a", older)]))
    assert numbers(up) == [1]
    wait(lambda: stored(up) == {1, 3, 4}, "the event that nothing holds to go")
    policy = cli(up, "store", "retention", "set", "logs", "30d", "--where", "severity = 'ERROR'", "--format", "json")
    assert json.loads(policy.stdout)[0]["keep_s"] == 30 * 86400
    assert numbers(up) == [1, 3]
    released = cli(up, "store", "hold", "rm", json.loads(held.stdout)[0]["id"])
    assert released.returncode == 0, released.stderr
    wait(lambda: stored(up) == {1, 3}, "what was held to go")
    assert cli(up, "store", "hold", "rm", "nonsense").returncode == 1
    gone = cli(up, "store", "retention", "rm", json.loads(policy.stdout)[0]["id"])
    assert gone.returncode == 0
    assert numbers(up) == [1]
    assert "for ever" not in cli(up, "store", "retention", "ls").stderr


def test_usage_is_what_the_store_holds(start: Callable[..., Up]) -> None:
    up = start(**{**QUICK, "collect_grace_s": 3600, "compaction_inputs": 2})
    for n in range(6):
        up.ingest("logs", ndjson([event(n, "a")]), **{"X-Pulka-Tenant": "acme"})
        up.ingest("spans", ndjson([event(n, "a")]))
        wait(lambda n=n: n in stored(up, "acme") and n in stored(up), "the flush")
    up.kill()
    sizes = {str(path.relative_to(up.state / "objects")): path.stat().st_size for path in (up.state / "objects").rglob("*.parquet")}
    rows = json.loads(cli(up, "store", "usage", "--format", "json").stdout)
    assert {(row["tenant"], row["table"]): row["bytes"] + row["retired_bytes"] for row in rows} == {
        owner: sum(size for key, size in sizes.items() if key.startswith("/".join(owner) + "/")) for owner in (("acme", "logs"), ("default", "spans"))
    }
    assert sum(row["fragments"] + row["retired_fragments"] for row in rows) == len(sizes)
    assert sum(row["rows"] for row in rows) == 12
    again = start(**{**QUICK, "collect_grace_s": 3600, "compaction_inputs": 100, "compaction_idle_s": 3600})
    answer = again.client.get("/api/v1/usage", headers={"X-Pulka-Tenant": "acme"}).json()
    tables = again.client.get("/api/v1/tables", headers={"X-Pulka-Tenant": "acme"}).json()["tables"]
    (mine,) = answer["tables"]
    assert {name: mine[name] for name in ("rows", "bytes", "raw_bytes", "fragments")} == {
        name: next(one for one in tables if one["name"] == "logs")[name] for name in ("rows", "bytes", "raw_bytes", "fragments")
    }
    assert answer["total_bytes"] == mine["bytes"] + mine["retired_bytes"]


def test_bad_requests(start: Callable[..., Up]) -> None:
    up = start(**QUICK)
    up.ingest("logs", ndjson([event(1, "a")]))
    for where, word in (("usr.id = 'a'", "user.id"), ("count(*) > 1", "TRY_CAST"), ("user.id IN (SELECT 'a')", "IN (...)")):
        done = cli(up, "store", "delete", "logs", "--where", where)
        assert done.returncode == 1
        assert word in done.stderr
    assert "`logs`" in cli(up, "store", "delete", "log", "--where", "true").stderr
    assert cli(up, "store", "retention", "set", "logs", "soon").returncode == 1
    assert cli(up, "store", "retention", "set", "*", "3d", "--where", "true").returncode == 1
    assert numbers(up) == [1]
