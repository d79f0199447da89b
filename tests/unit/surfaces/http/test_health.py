async def test_health_and_readiness(make_services, make_client):
    async def fine() -> str:
        return ""

    async def full() -> str:
        return "the disk is full"

    client = make_client(make_services(checks={"journal": full, "catalog": fine}))
    assert (await client.get("/healthz")).json()["status"] == "ok"
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"journal": "the disk is full", "catalog": "ok"}
    assert (await make_client(make_services(checks={"journal": fine})).get("/readyz")).status_code == 200


async def test_readiness_tells_of_what_runs_beside_and_does_not_hang_on_it(make_services, make_client):
    services = make_services()
    services.beside["edge"] = lambda: {"state": "off", "reason": "it needs root"}
    answer = await make_client(services).get("/readyz")
    assert (answer.status_code, answer.json()["edge"]) == (200, {"state": "off", "reason": "it needs root"})


async def test_metrics_count_requests_by_route(client):
    await client.post("/api/v1/ingest/logs", content=b'{"message":"a"}')
    await client.get("/x/y")
    text = (await client.get("/metrics")).text
    assert 'pulka_http_requests_total{route="/api/v1/ingest/{table}",method="POST",status="200"} 1' in text
    assert 'pulka_http_requests_total{route="unmatched",method="GET",status="404"} 1' in text
    assert 'pulka_intake_rows_total{protocol="json"} 1' in text
    assert "pulka_intake_inflight_bytes 0" in text


async def test_the_first_page_names_the_next_commands(client):
    answer = await client.get("/")
    assert answer.status_code == 200
    assert "http://pulka/api/v1/ingest/logs" in answer.text


async def test_every_endpoint_is_in_the_openapi_document(client):
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {
        "/api/v1/ingest/{table}",
        "/v1/logs",
        "/v1/traces",
        "/v1/metrics",
        "/api/v1/query",
        "/api/v1/explain",
    } <= set(paths)
