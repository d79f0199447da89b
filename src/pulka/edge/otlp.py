"""Rows as OTLP requests (JSON encoding): exponential histograms with delta temporality, and an example span for each exemplar.

The encoding is that of the OTLP specification: 64-bit integers are text, ids are hexadecimal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pulka.edge import semconv

__all__ = ["Exemplar", "Request", "Row", "Service", "encode"]

_DELTA = 1
_SERVER, _CLIENT = 2, 3
_ERROR = 2
_SCOPE = {"name": "pulka.edge"}


class Entropy(Protocol):
    """What ids are made of: `Clock.random`."""

    def getrandbits(self, k: int, /) -> int:
        """A number of `k` random bits."""


class Exemplar(Protocol):
    """`pulka._native.EdgeExemplar`."""

    start_ns: int
    end_ns: int
    error: str | None
    attributes: list[tuple[str, str]]


class Row(semconv.Row, Protocol):
    """`pulka._native.EdgeRow`."""

    service: str
    count: int
    sum: float
    min: float
    max: float
    scale: int
    offset: int
    counts: list[int]
    zeros: int
    one_way: int
    exemplars: list[Any]


@dataclass(frozen=True, slots=True)
class Service:
    """What is known of a service besides its rows: attributes of its resource."""

    name: str
    source: str = ""
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One OTLP export: its signal (`metrics` or `traces`) and body, ready for JSON."""

    signal: str
    body: dict[str, Any]


def encode(rows: Sequence[Row], services: Mapping[str, Service], host: str, start_ns: int, end_ns: int, random: Entropy) -> list[Request]:
    """The requests of one interval: metrics, and traces when there are exemplars. Empty for no rows."""
    by_service: dict[str, list[Row]] = {}
    for row in rows:
        by_service.setdefault(row.service, []).append(row)
    metrics, traces = [], []
    for name, own in by_service.items():
        resource = {"attributes": _attributes(_resource(services.get(name) or Service(name), host))}
        spans: list[dict[str, Any]] = []
        metrics.append({"resource": resource, "scopeMetrics": [{"scope": _SCOPE, "metrics": _metrics(own, start_ns, end_ns, random, spans)}]})
        if spans:
            traces.append({"resource": resource, "scopeSpans": [{"scope": _SCOPE, "spans": spans}]})
    requests = [Request("metrics", {"resourceMetrics": metrics})] if metrics else []
    return [*requests, Request("traces", {"resourceSpans": traces})] if traces else requests


def _resource(service: Service, host: str) -> dict[str, semconv.Value]:
    runtime, _, version = service.runtime.partition(" ")
    values: dict[str, semconv.Value] = {
        "service.name": service.name,
        "pulka.service.name.source": service.source,
        "process.runtime.name": runtime,
        "process.runtime.version": version,
        "host.name": host,
        "telemetry.distro.name": "pulka-edge",
    }
    return {name: value for name, value in values.items() if value}


def _metrics(rows: Iterable[Row], start_ns: int, end_ns: int, random: Entropy, spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    points: dict[str, list[dict[str, Any]]] = {}
    messages: list[dict[str, Any]] = []
    for row in rows:
        named = _attributes(semconv.attributes(row))
        times = {"startTimeUnixNano": str(start_ns), "timeUnixNano": str(end_ns)}
        if row.count:
            points.setdefault(semconv.metric_name(row), []).append({**times, **_point(row, named, random, spans)})
        if row.one_way:
            messages.append({**times, "attributes": named, "asInt": str(row.one_way)})
    metrics: list[dict[str, Any]] = [
        {"name": name, "unit": "s", "exponentialHistogram": {"aggregationTemporality": _DELTA, "dataPoints": own}} for name, own in points.items()
    ]
    if messages:
        metrics.append({"name": "pulka.messages", "unit": "{message}", "sum": {"aggregationTemporality": _DELTA, "isMonotonic": True, "dataPoints": messages}})
    return metrics


def _point(row: Row, named: list[dict[str, Any]], random: Entropy, spans: list[dict[str, Any]]) -> dict[str, Any]:
    exemplars = []
    for exemplar in row.exemplars:
        span = _span(row, exemplar, named, random)
        spans.append(span)
        exemplars.append({
            "timeUnixNano": span["endTimeUnixNano"],
            "asDouble": (exemplar.end_ns - exemplar.start_ns) / 1e9,
            "traceId": span["traceId"],
            "spanId": span["spanId"],
        })  # fmt: skip
    return {
        "attributes": named,
        "count": str(row.count),
        "sum": row.sum,
        "min": row.min,
        "max": row.max,
        "scale": row.scale,
        "zeroCount": str(row.zeros),
        "positive": {"offset": row.offset, "bucketCounts": [str(count) for count in row.counts]},
        "exemplars": exemplars,
    }


def _span(row: Row, exemplar: Exemplar, named: list[dict[str, Any]], random: Entropy) -> dict[str, Any]:
    return {
        "traceId": f"{random.getrandbits(128) or 1:032x}",
        "spanId": f"{random.getrandbits(64) or 1:016x}",
        "name": semconv.span_name(row),
        "kind": _CLIENT if row.is_client else _SERVER,
        "startTimeUnixNano": str(exemplar.start_ns),
        "endTimeUnixNano": str(max(exemplar.end_ns, exemplar.start_ns)),
        "attributes": named + _attributes(dict(exemplar.attributes)),
        "status": {"code": _ERROR} if exemplar.error else {},
    }


def _attributes(values: Mapping[str, semconv.Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}} for key, value in values.items()]
