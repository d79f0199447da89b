"""The OpenTelemetry SDK as any service sets it up."""

import logging
from dataclasses import dataclass

from opentelemetry import metrics, propagate, trace
from opentelemetry._logs import SeverityNumber, set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

__all__ = ["Telemetry", "propagate", "start"]

_SEVERITIES = {"INFO": SeverityNumber.INFO, "WARN": SeverityNumber.WARN, "ERROR": SeverityNumber.ERROR}


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a service uses to speak of itself."""

    tracer: trace.Tracer
    duration: metrics.Histogram
    provider: LoggerProvider

    def log(self, severity: str, message: str, **attributes: str | int | float) -> None:
        """Emit one log record within the current span."""
        self.provider.get_logger("shop").emit(
            severity_number=_SEVERITIES[severity], severity_text=severity, body=message, attributes=attributes
        )


def start(service: str, version: str, endpoint: str, host: str) -> Telemetry:
    """Export logs, traces and metrics of `service` to `endpoint`, every second."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the lake may stop before the shop does
    resource = Resource.create(
        {"service.name": service, "service.version": version, "host.name": host, "deployment.environment.name": "demo"}
    )
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces"), schedule_delay_millis=1000))
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs"), schedule_delay_millis=1000))
    set_logger_provider(logs)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"), export_interval_millis=5000)
    meters = MeterProvider(resource=resource, metric_readers=[reader])
    duration = meters.get_meter("shop").create_histogram("http.server.request.duration", unit="s")
    return Telemetry(traces.get_tracer("shop"), duration, logs)
