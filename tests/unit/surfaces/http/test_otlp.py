import asyncio
import base64
import gzip
import json

import grpc
import grpc.aio
import pytest
import uvicorn
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from pulka.errors import BadInput, Temporary, TooLarge
from pulka.intake import IntakeSettings, Outcome
from pulka.surfaces.http import HttpSettings, create_app
from pulka.surfaces.http.listener import listen
from pulka.surfaces.http.otlp_grpc import create_grpc_server
from pulka.surfaces.http.otlp_messages import export_response, rpc_status

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
TABLES = {"logs": "logs", "traces": "spans", "metrics": "metrics"}
RESPONSES = {
    "logs": (logs_pb.ExportLogsServiceResponse, "rejected_log_records"),
    "traces": (trace_pb.ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (metrics_pb.ExportMetricsServiceResponse, "rejected_data_points"),
}


def logs_request() -> logs_pb.ExportLogsServiceRequest:
    request = logs_pb.ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.time_unix_nano = 1_767_225_600_000_000_000
    record.body.string_value = "hello"
    return request


def trace_request() -> trace_pb.ExportTraceServiceRequest:
    request = trace_pb.ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.name, span.trace_id, span.span_id = "GET /", b"0" * 16, b"1" * 8
    span.start_time_unix_nano = 1_767_225_600_000_000_000
    span.end_time_unix_nano = 1_767_225_600_000_000_100
    return request


def metrics_request() -> metrics_pb.ExportMetricsServiceRequest:
    request = metrics_pb.ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add()
    metric.name = "requests"
    point = metric.gauge.data_points.add()
    point.time_unix_nano, point.as_int = 1_767_225_600_000_000_000, 3
    return request


REQUESTS = {"logs": logs_request, "traces": trace_request, "metrics": metrics_request}


@pytest.mark.parametrize("signal", REQUESTS)
async def test_protobuf(client, stored, signal):
    body = gzip.compress(REQUESTS[signal]().SerializeToString())
    answer = await client.post(f"/v1/{signal}", content=body, headers={**PROTOBUF, "content-encoding": "gzip"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    (record,) = await stored()
    assert (record.table, record.batch.num_rows) == (TABLES[signal], 1)


def otlp_json(message) -> str:
    """OTLP's JSON writes ids in hex, where protobuf's own mapping writes base64."""

    def in_hex(pairs):
        return {key: base64.b64decode(value).hex() if key in ("traceId", "spanId") else value for key, value in pairs}

    return json.dumps(json.loads(json.dumps(message), object_pairs_hook=in_hex))


@pytest.mark.parametrize("signal", REQUESTS)
async def test_json(client, stored, signal):
    body = otlp_json(json_format.MessageToDict(REQUESTS[signal]()))
    answer = await client.post(f"/v1/{signal}", content=body, headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {})
    (record,) = await stored()
    assert (record.table, record.batch.num_rows) == (TABLES[signal], 1)


@pytest.mark.parametrize("signal", REQUESTS)
def test_partial_success_is_what_protobuf_says_it_is(signal):
    message, rejected = RESPONSES[signal]
    outcome = Outcome(10, 300, {"too_deep": 100, "event_too_large": 200})
    for told in (
        message.FromString(export_response(signal, "protobuf", outcome)),
        json_format.Parse(export_response(signal, "json", outcome), message()),
    ):
        assert getattr(told.partial_success, rejected) == 300
        assert told.partial_success.error_message == "rejected: 200 event_too_large, 100 too_deep"
    assert export_response(signal, "protobuf", Outcome(10, 0)) == b""


def test_status_is_what_protobuf_says_it_is():
    status = status_pb2.Status.FromString(rpc_status(Temporary("wait", retry_after_s=2.5)))
    assert (status.code, status.message) == (14, "wait")
    info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert (info.retry_delay.seconds, info.retry_delay.nanos) == (2, 500_000_000)
    assert status_pb2.Status.FromString(rpc_status(TooLarge("big"))).code == 8
    told = json_format.Parse(rpc_status(BadInput("no", hint="do"), "json"), status_pb2.Status())
    assert (told.code, told.message) == (3, "no; do")


async def test_errors_come_in_the_encoding_of_the_request(make_services, make_client):
    services = make_services(IntakeSettings(inflight_bytes_max=1000, body_bytes_max=500))
    client = make_client(services)
    broken = await client.post("/v1/logs", content=b"\xff\xff\xff\xff", headers=PROTOBUF)
    assert broken.status_code == 400
    assert status_pb2.Status.FromString(broken.content).code == 3
    large = await client.post("/v1/logs", content=b" " * 501, headers=JSON)
    assert (large.status_code, large.json()["code"]) == (413, 8)
    with services.intake.admission.claim(1000):
        busy = await client.post("/v1/logs", content=logs_request().SerializeToString(), headers=PROTOBUF)
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
    assert status_pb2.Status.FromString(busy.content).code == 14
    unknown = await client.post("/v1/logs", content=b"x", headers={"content-type": "text/plain"})
    assert (unknown.status_code, unknown.json()["code"]) == (400, 3)
    tenant = await client.post("/v1/logs", content=b"{}", headers={**JSON, "x-pulka-tenant": "No Such"})
    assert tenant.status_code == 400


async def test_a_retry_is_stored_once(client, stored):
    body = logs_request().SerializeToString()
    for _ in range(2):
        answer = await client.post("/v1/logs", content=body, headers={**PROTOBUF, "idempotency-key": "k"})
        assert answer.status_code == 200
    assert len(await stored()) == 1


@pytest.fixture
async def loopback(services):
    """A real server on a free port of the loopback."""
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(services), log_level="warning"))
        serving = asyncio.create_task(server.serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving


async def test_the_sdk_exports_over_http(loopback, stored):
    def export() -> None:
        resource = Resource.create({"service.name": "shop"})
        tracing = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(f"{loopback}/v1/traces", compression=Compression.Gzip)
        tracing.add_span_processor(SimpleSpanProcessor(exporter))
        tracing.get_tracer("test").start_span("checkout").end()
        tracing.shutdown()
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{loopback}/v1/metrics"))
        metering = MeterProvider([reader], resource)
        metering.get_meter("test").create_counter("orders").add(1)
        metering.shutdown()
        logging = LoggerProvider(resource)
        logging.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{loopback}/v1/logs")))
        logging.get_logger("test").emit(LogRecord(timestamp=1_767_225_600_000_000_000, body="sold out"))
        logging.shutdown()

    await asyncio.to_thread(export)
    records = await stored()
    batches = {record.table: record.batch for record in records}
    assert batches["spans"].column("name").to_pylist() == ["checkout"]
    assert "orders" in batches["metrics"].column("name").to_pylist()
    assert batches["logs"].column("message").to_pylist() == ["sold out"]


@pytest.fixture
async def grpc_port(make_services):
    services = make_services(IntakeSettings(inflight_bytes_max=1 << 20), HttpSettings(grpc_message_bytes_max=100_000))
    server, port = create_grpc_server(services, "127.0.0.1:0")
    await server.start()
    yield services, port
    await server.stop(None)


async def export_logs(port: int, body: bytes, metadata: tuple = (), **options: object) -> bytes:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", **options) as channel:
        method = channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")
        return await method(body, metadata=metadata)


async def test_grpc(grpc_port, stored):
    _, port = grpc_port
    body = logs_request().SerializeToString()
    assert await export_logs(port, body, (("x-pulka-tenant", "acme"),), compression=grpc.Compression.Gzip) == b""
    (record,) = await stored()
    assert (record.tenant, record.table, record.batch.num_rows) == ("acme", "logs", 1)


async def test_grpc_errors(grpc_port):
    services, port = grpc_port
    body = logs_request().SerializeToString()
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await export_logs(port, b"\xff\xff\xff\xff")
    assert told.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await export_logs(port, b" " * 100_001)
    assert told.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await export_logs(port, b" " * 1_000_000, compression=grpc.Compression.Gzip)
    assert told.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    with services.intake.admission.claim(1 << 20), pytest.raises(grpc.aio.AioRpcError) as told:
        await export_logs(port, body)
    assert told.value.code() == grpc.StatusCode.UNAVAILABLE
    details = dict(told.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert status_pb2.Status.FromString(details).details[0].Is(error_details_pb2.RetryInfo.DESCRIPTOR)


async def test_the_sdk_exports_over_grpc(grpc_port, stored):
    _, port = grpc_port

    def export() -> None:
        tracing = TracerProvider(resource=Resource.create({"service.name": "shop"}))
        tracing.add_span_processor(SimpleSpanProcessor(GrpcSpanExporter(f"http://127.0.0.1:{port}", insecure=True)))
        tracing.get_tracer("test").start_span("checkout").end()
        tracing.shutdown()

    await asyncio.to_thread(export)
    (record,) = await stored()
    assert record.batch.column("name").to_pylist() == ["checkout"]
