import asyncio
import gzip

import pytest

from pulka.errors import BadInput, Temporary, TooLarge
from pulka.intake import DedupWindow, IngestOptions
from pulka.seams import DedupKey

TIMED = b'{"timestamp":"2026-01-01T00:00:00Z","message":"a"}\n{"timestamp":"2026-01-01T00:00:01Z","message":"b"}\n'
UNTIMED = b'{"message":"a"}\n'


async def test_rows_are_in_the_journal_when_it_answers(intake, stored):
    outcome = await intake.json("t", "logs", TIMED)
    assert (outcome.rows, outcome.rejected, outcome.duplicate) == (2, 0, False)
    (record,) = await stored()
    assert (record.tenant, record.table, record.batch.num_rows) == ("t", "logs", 2)
    assert record.batch.column("message").to_pylist() == ["a", "b"]
    assert record.ack == outcome.ack()


async def test_compressed_bodies(intake, stored):
    assert (await intake.json("t", "logs", gzip.compress(TIMED), "gzip")).rows == 2
    assert len(await stored()) == 1


async def test_a_broken_line_does_not_cost_the_others(intake):
    outcome = await intake.json("t", "logs", b'{"message":"a"}\n{"message":\n{"message":"c"}\n')
    assert (outcome.rows, outcome.rejected) == (2, 1)
    assert sum(outcome.reasons.values()) == 1
    assert outcome.samples[0].item == 2


async def test_the_same_timed_body_is_stored_once(intake, stored):
    first = await intake.json("t", "logs", TIMED)
    again = await intake.json("t", "logs", gzip.compress(TIMED), "gzip")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.ack() == again.ack()
    assert len(await stored()) == 1


async def test_untimed_bodies_are_events_of_their_own(intake, stored):
    for _ in range(2):
        assert not (await intake.json("t", "logs", UNTIMED)).duplicate
    assert len(await stored()) == 2


async def test_a_body_is_another_one_for_another_table_tenant_or_option(intake, stored):
    await intake.json("t", "logs", TIMED)
    await intake.json("t", "other", TIMED)
    await intake.json("u", "logs", TIMED)
    await intake.json("t", "logs", TIMED, options=IngestOptions(rename=(("message", "text"),)))
    assert len(await stored()) == 4


async def test_the_clients_key_decides(intake, stored):
    first = await intake.json("t", "logs", UNTIMED, idempotency_key="k1")
    again = await intake.json("t", "logs", UNTIMED, idempotency_key="k1")
    other = await intake.json("t", "logs", UNTIMED, idempotency_key="k2")
    assert (first.duplicate, again.duplicate, other.duplicate) == (False, True, False)
    assert len(await stored()) == 2


async def test_concurrent_retries_store_once(intake, stored):
    outcomes = await asyncio.gather(*(intake.json("t", "logs", TIMED) for _ in range(8)))
    keyed = await asyncio.gather(*(intake.json("t", "logs", UNTIMED, idempotency_key="k") for _ in range(8)))
    assert sorted(outcome.duplicate for outcome in outcomes) == [False] + [True] * 7
    assert sorted(outcome.duplicate for outcome in keyed) == [False] + [True] * 7
    assert len(await stored()) == 2


async def test_keys_survive_a_restart_through_the_journal(make_intake, journal, stored, clock):
    class NothingPublished:
        async def dedup(self, since_ns: int) -> list[DedupKey]:
            return []

    first = await make_intake().json("t", "logs", UNTIMED, idempotency_key="k")
    restarted = make_intake()
    await restarted.dedup.recover(NothingPublished(), journal)
    again = await restarted.json("t", "logs", UNTIMED, idempotency_key="k")
    assert again.duplicate
    assert again.ack() == first.ack()
    assert len(await stored()) == 1


async def test_a_key_of_the_catalog_answers_without_the_journal(make_intake, journal, clock):
    class Published:
        async def dedup(self, since_ns: int) -> list[DedupKey]:
            return [
                DedupKey(
                    "t", "logs", "client:k", clock.now_ns() + 1, b'{"rows":7,"rejected":1,"reasons":{"broken_json":1}}'
                )
            ]

    intake = make_intake()
    assert isinstance(intake.dedup, DedupWindow)
    await intake.dedup.recover(Published(), journal)
    outcome = await intake.json("t", "logs", UNTIMED, idempotency_key="k")
    assert (outcome.rows, outcome.rejected, outcome.reasons, outcome.duplicate) == (7, 1, {"broken_json": 1}, True)


async def test_options_reach_the_decoder(intake, stored):
    options = IngestOptions(rename=(("msg", "message"),), constants=(("service", "shop"),))
    await intake.json("t", "logs", b'{"msg":"a"}', options=options)
    (record,) = await stored()
    assert record.batch.column("message").to_pylist() == ["a"]
    assert record.batch.column("service").to_pylist() == ["shop"]


async def test_csv(intake, stored):
    assert (await intake.csv("t", "orders", b"message,city\na,Brno\nb,Praha\n")).rows == 2
    (record,) = await stored()
    assert record.batch.column("city").to_pylist() == ["Brno", "Praha"]


async def test_a_bomb_is_too_large_and_a_cut_body_is_bad_input(make_intake, stored):
    intake = make_intake(body_bytes_max=100_000)
    with pytest.raises(TooLarge):
        await intake.json("t", "logs", gzip.compress(b" " * 1_000_000), "gzip")
    with pytest.raises(BadInput):
        await intake.json("t", "logs", gzip.compress(TIMED)[:-9], "gzip")
    with pytest.raises(BadInput):
        await intake.json("t", "logs", TIMED, "rot13")
    assert intake.admission.inflight_bytes == 0
    assert await stored() == []


async def test_over_the_budget_nothing_is_stored(make_intake, stored):
    intake = make_intake(inflight_bytes_max=1000)
    with intake.admission.claim(990), pytest.raises(Temporary):
        await intake.json("t", "logs", TIMED)
    assert await stored() == []
    assert (await intake.json("t", "logs", TIMED)).rows == 2
    assert intake.admission.inflight_bytes == 0


async def test_names_and_keys_are_checked(intake):
    with pytest.raises(BadInput, match="cannot name a table"):
        await intake.json("t", "No/Table", TIMED)
    with pytest.raises(BadInput, match="Idempotency-Key"):
        await intake.json("t", "logs", TIMED, idempotency_key="k" * 256)


async def test_a_body_of_rejected_items_only_stores_nothing(intake, stored):
    outcome = await intake.json("t", "logs", b'{"a":\n')
    assert (outcome.rows, outcome.rejected) == (0, 1)
    assert await stored() == []


async def test_broken_protobuf_is_bad_input(intake):
    with pytest.raises(BadInput):
        await intake.otlp("t", "logs", "protobuf", b"\xff\xff\xff\xff")
