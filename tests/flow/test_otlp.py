"""The OpenTelemetry SDK against the real process, over both transports: what it sends is what SQL answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from tests.up import Up

RESOURCE = Resource.create({"service.name": "web", "host.name": "h1", "deployment.environment.name": "prod"})


def exporters(up: Up, transport: str) -> tuple[object, object, object]:
    if transport == "grpc":
        return tuple(make(endpoint=up.grpc, insecure=True) for make in (GrpcLogs, GrpcSpans, GrpcMetrics))
    return HttpLogs(f"{up.url}/v1/logs"), HttpSpans(f"{up.url}/v1/traces"), HttpMetrics(f"{up.url}/v1/metrics")


@contextmanager
def providers(up: Up, transport: str) -> Iterator[tuple[LoggerProvider, TracerProvider, MeterProvider]]:
    """Everything is exported when this ends."""
    logs, spans, metrics = exporters(up, transport)
    logging, tracing = LoggerProvider(RESOURCE), TracerProvider(resource=RESOURCE)
    logging.add_log_record_processor(SimpleLogRecordProcessor(logs))
    tracing.add_span_processor(BatchSpanProcessor(spans))
    metering = MeterProvider([PeriodicExportingMetricReader(metrics, export_interval_millis=60_000)], RESOURCE)
    yield logging, tracing, metering
    for provider in (logging, tracing, metering):
        provider.shutdown()


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_the_sdk_sends_and_sql_answers(start: Callable[..., Up], transport: str) -> None:
    up = start()
    with providers(up, transport) as (logging, tracing, metering):
        tracer = tracing.get_tracer("shop")
        with tracer.start_as_current_span("GET /cart", attributes={"http.response.status_code": 502}) as parent, tracer.start_as_current_span("charge"):
            logging.get_logger("shop").emit(severity_number=SeverityNumber.ERROR, severity_text="ERROR", body="card refused", attributes={"amount": 9.5})
        meter = metering.get_meter("shop")
        meter.create_counter("orders", unit="1").add(3, {"region": "eu"})
        for value in (0.2, 0.7, 12.0):
            meter.create_histogram("latency", unit="s").record(value)
    context = parent.get_span_context()
    assert up.query("SELECT service, host, severity, message, amount, trace_id FROM logs") == [
        {"service": "web", "host": "h1", "severity": "ERROR", "message": "card refused", "amount": 9.5, "trace_id": f"{context.trace_id:032x}"}
    ]
    spans = up.query("SELECT name, parent_span_id, duration_ns >= 0 AS timed, http.response.status_code AS status FROM spans ORDER BY parent_span_id NULLS FIRST")
    assert [(span["name"], span["parent_span_id"], span["status"]) for span in spans] == [("GET /cart", None, 502), ("charge", f"{context.span_id:016x}", None)]
    assert all(span["timed"] for span in spans)
    assert up.query("SELECT name, value, region FROM metrics WHERE name = 'orders'") == [{"name": "orders", "value": 3.0, "region": "eu"}]
    assert up.query("SELECT count, sum FROM metrics WHERE name = 'latency'") == [{"count": 3, "sum": pytest.approx(12.9)}]
