"""kill -9 at random moments under load, with a ledger of what was acknowledged: nothing lost, nothing doubled (invariants 4 and 5)."""

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.s3 import S3
from tests.up import Up
from tests.waiting import until

BATCH = 40


class Shipper(threading.Thread):
    """Sends numbered batches; an unanswered one is sent again with its key after the restart, as a real shipper does."""

    def __init__(self, name: str) -> None:
        super().__init__(daemon=True)
        self.shipper, self.next, self.acked, self.halt = name, 0, 0, threading.Event()
        self.up: Up | None = None

    def run(self) -> None:
        while not self.halt.is_set():
            rows = [{"shipper": self.shipper, "batch": self.next, "n": n, "message": "x" * random.Random(n).randrange(600)} for n in range(BATCH)]
            body = "\n".join(json.dumps(row) for row in rows).encode()
            if self.next % 7 == 3:
                body = f'{{"broken\n{body.decode()}'.encode()
            with contextlib.suppress(httpx.TransportError):
                assert self.up
                answer = self.up.client.post(
                    "/api/v1/ingest/ledger", content=body, headers={"Idempotency-Key": f"{self.shipper}-{self.next}"}, timeout=30
                )
                if answer.status_code == 200:
                    assert answer.json()["rows"] == BATCH
                    self.acked, self.next = self.acked + 1, self.next + 1
                    continue
                assert answer.status_code == 503, answer.text
            time.sleep(0.02)


def rounds(start: Callable[..., Up], count: int, seed: int, **settings: Any) -> None:
    chance = random.Random(seed)
    shippers = [Shipper(f"s{n}") for n in range(3)]
    settings = {"flush_age_s": 0.3, "compaction_inputs": 3, "compaction_idle_s": 0.5, "collect_grace_s": 0.5, "journal_segment_bytes": 1 << 20, **settings}
    up = start(**settings)
    for shipper in shippers:
        shipper.up = up
        shipper.start()
    for turn in range(count):
        until(lambda: any(shipper.acked for shipper in shippers))
        time.sleep(chance.uniform(0.05, 1.2))
        up.kill()
        up = start(**settings)
        for shipper in shippers:
            shipper.up = up
        acked = {shipper.shipper: shipper.acked for shipper in shippers}
        check(up, acked, f"seed {seed}, round {turn}", at_least=True)
    for shipper in shippers:
        shipper.halt.set()
    for shipper in shippers:
        shipper.join(60)
    check(up, {s.shipper: s.acked for s in shippers}, f"seed {seed}, at the end", at_least=False)


def check(up: Up, acked: dict[str, int], where: str, at_least: bool) -> None:
    """Every acknowledged batch is there once and whole; batches sent but unanswered may be there, once and whole."""
    sql = "SELECT shipper, batch, count(*) AS rows, count(DISTINCT n) AS different FROM ledger GROUP BY shipper, batch"
    found = {(row["shipper"], row["batch"]): row for row in up.query(sql)}
    for name, count in acked.items():
        missing = [batch for batch in range(count) if (name, batch) not in found]
        assert not missing, f"{where}: acknowledged batches {missing[:5]} of {name} are lost"
    wrong = [row for row in found.values() if row["rows"] != BATCH or row["different"] != BATCH]
    assert not wrong, f"{where}: {wrong[:5]}"
    if not at_least:
        assert len(found) <= sum(acked.values()) + len(acked)


def test_kill_nine_a_few_times(start: Callable[..., Up]) -> None:
    rounds(start, 4, seed=11)


def on_s3(s3: S3, **settings: object) -> dict[str, object]:
    """Collection leaves a query the time to fetch what a merge has just retired."""
    return {"objects_url": s3.bucket(), "collect_grace_s": 5, **settings}


def test_kill_nine_a_few_times_on_s3(start: Callable[..., Up], s3: S3) -> None:
    rounds(start, 3, seed=12, **on_s3(s3))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kill_nine_fifty_times(start: Callable[..., Up]) -> None:
    rounds(start, 50, seed=5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kill_nine_forty_times_on_s3(start: Callable[..., Up], s3: S3) -> None:
    rounds(start, 40, seed=6, **on_s3(s3))
