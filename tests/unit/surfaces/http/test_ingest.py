import asyncio
import gzip

import httpx
import pytest

from pulka.intake import IntakeSettings

TIMED = b'{"timestamp":"2026-01-01T00:00:00Z","message":"a"}\n{"timestamp":"2026-01-01T00:00:01Z","message":"b"}\n'
URL = "/api/v1/ingest/logs"


def problem_of(answer: httpx.Response, status: int, kind: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["kind"]) == (status, kind)
    assert told["detail"]
    assert told["hint"]
    return told


async def test_ndjson(client, stored):
    answer = await client.post(URL, content=TIMED)
    assert (answer.status_code, answer.json()) == (200, {"rows": 2, "rejected": 0})
    (record,) = await stored()
    assert (record.tenant, record.table) == ("default", "logs")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_json_array(client, stored, encoding):
    body = b'[{"message":"a"},{"message":"b"}]'
    body = gzip.compress(body) if encoding == "gzip" else body
    headers = {"content-type": "application/json", "content-encoding": encoding}
    answer = await client.post(URL, content=body, headers=headers)
    assert answer.json()["rows"] == 2


async def test_csv(client, stored):
    answer = await client.post(
        "/api/v1/ingest/orders", content=b"city,n\nBrno,1\n", headers={"content-type": "text/csv; charset=utf-8"}
    )
    assert answer.json()["rows"] == 1
    (record,) = await stored()
    assert record.batch.column("city").to_pylist() == ["Brno"]


async def test_parameters(client, stored):
    url = f"{URL}?rename=msg=message&field=service=shop&field=env=a:b&timestamp_field=ts,when"
    answer = await client.post(url, content=b'{"msg":"a"}')
    assert answer.status_code == 200, answer.text
    (record,) = await stored()
    assert record.batch.column("message").to_pylist() == ["a"]
    assert record.batch.column("service").to_pylist() == ["shop"]
    assert record.batch.column("env").to_pylist() == ["a:b"]


async def test_tenant(client, stored):
    await client.post(URL, content=TIMED, headers={"x-pulka-tenant": "acme"})
    (record,) = await stored()
    assert record.tenant == "acme"
    problem_of(await client.post(URL, content=TIMED, headers={"x-pulka-tenant": "No Such"}), 400, "bad_input")


async def test_bad_names_and_parameters(client):
    problem_of(await client.post("/api/v1/ingest/Nope", content=TIMED), 400, "bad_input")
    problem_of(await client.post(f"{URL}?rename=x", content=TIMED), 400, "bad_input")
    problem_of(await client.post(URL, content=TIMED, headers={"idempotency-key": "k" * 300}), 400, "bad_input")
    problem_of(await client.get("/nowhere"), 404, "not_found")
    problem_of(await client.get(URL), 405, "bad_input")


async def test_partly_broken_is_kept_and_wholly_broken_is_a_problem(client, stored):
    answer = await client.post(URL, content=b'{"message":"a"}\n{"message":\n')
    assert (answer.status_code, answer.json()["rows"], answer.json()["rejected"]) == (200, 1, 1)
    assert answer.json()["samples"][0]["item"] == 2
    told = problem_of(await client.post(URL, content=b'{"message":\n'), 400, "bad_input")
    assert told["rejected"] == 1
    assert len(await stored()) == 1


async def test_bodies_that_are_too_large(make_services, make_client, stored):
    client = make_client(make_services(IntakeSettings(body_bytes_max=10_000)))
    bomb = gzip.compress(b" " * 1_000_000)
    assert len(bomb) < 10_000
    problem_of(await client.post(URL, content=bomb, headers={"content-encoding": "gzip"}), 413, "too_large")
    problem_of(await client.post(URL, content=b" " * 10_001), 413, "too_large")

    async def endless():
        for _ in range(100):
            yield b" " * 1000

    problem_of(await client.post(URL, content=endless()), 413, "too_large")
    assert await stored() == []


async def test_cut_and_unknown_encodings(client):
    headers = {"content-encoding": "gzip"}
    problem_of(await client.post(URL, content=gzip.compress(TIMED)[:-9], headers=headers), 400, "bad_input")
    problem_of(await client.post(URL, content=TIMED, headers={"content-encoding": "br"}), 400, "bad_input")


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k"}])
async def test_a_retry_is_stored_once_and_answered_the_same(client, stored, headers):
    first = await client.post(URL, content=TIMED, headers=headers)
    again = await client.post(URL, content=TIMED, headers=headers)
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await stored()) == 1


async def test_concurrent_retries_are_stored_once(client, stored):
    answers = await asyncio.gather(
        *(client.post(URL, content=b'{"message":"a"}', headers={"idempotency-key": "k"}) for _ in range(8))
    )
    assert {answer.content for answer in answers} == {b'{"rows":1,"rejected":0,"warnings":{"timestamp_missing":1}}'}
    assert len(await stored()) == 1


async def test_over_the_budget(make_services, make_client, stored):
    services = make_services(IntakeSettings(inflight_bytes_max=1000))
    client = make_client(services)
    with services.intake.admission.claim(990):
        answer = await client.post(URL, content=TIMED)
        problem_of(answer, 503, "temporary")
        assert int(answer.headers["retry-after"]) >= 1
    assert await stored() == []
    assert (await client.post(URL, content=TIMED)).status_code == 200
    assert services.intake.admission.inflight_bytes == 0


async def test_what_nobody_foresaw_tells_nothing(services, client, monkeypatch):
    async def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(services.intake, "json", fail)
    answer = await client.post(URL, content=TIMED)
    problem_of(answer, 500, "internal")
    assert "secret" not in answer.text
