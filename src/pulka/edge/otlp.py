"""Rows as OTLP requests (JSON encoding): exponential histograms with delta temporality, and an example span for each exemplar.

The encoding is that of the OTLP specification: 64-bit integers are text, ids are hexadecimal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pulka.edge import semconv
from pulka.model.agent_metrics import SCOPE

__all__ = ["Count", "Exemplar", "Request", "Row", "Service", "encode"]

_DELTA = 1
_SERVER, _CLIENT = 2, 3
_ERROR = 2
_SCOPE = {"name": SCOPE}


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
class Count:
    """How often something happened in the interval, besides transactions."""

    service: str
    name: str
    unit: str
    attributes: Mapping[str, str]
    value: int


@dataclass(frozen=True, slots=True)
class Request:
    """One OTLP export: its signal (`metrics` or `traces`) and body, ready for JSON."""

    signal: str
    body: dict[str, Any]


def encode(
    rows: Sequence[Row], counts: Sequence[Count], services: Mapping[str, Service], host: str, start_ns: int, end_ns: int, random: Entropy
) -> list[Request]:
    """The requests of one interval: metrics, and traces when there are exemplars. Empty for nothing."""
    metrics, traces = [], []
    by_service: dict[str, tuple[list[Row], list[Count]]] = {}
    for row in rows:
        by_service.setdefault(row.service, ([], []))[0].append(row)
    for count in counts:
        by_service.setdefault(count.service, ([], []))[1].append(count)
    for name, (own, left_out) in by_service.items():
        resource = {"attributes": _attributes(_resource(services.get(name) or Service(name), host))}
        spans: list[dict[str, Any]] = []
        times = {"startTimeUnixNano": str(start_ns), "timeUnixNano": str(end_ns)}
        points = [*_metrics(own, times, random, spans), *_counts(left_out, times)]
        metrics.append({"resource": resource, "scopeMetrics": [{"scope": _SCOPE, "metrics": points}]})
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


def _metrics(rows: Iterable[Row], times: dict[str, str], random: Entropy, spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    points: dict[str, list[dict[str, Any]]] = {}
    messages: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        named = _attributes(semconv.attributes(row))
        if row.count:
            points.setdefault(semconv.metric_name(row), []).append({**times, **_point(row, named, random, spans)})
        if row.one_way:
            messages.setdefault(semconv.messages_name(row), []).append({**times, "attributes": named, "asInt": str(row.one_way)})
    histograms: list[dict[str, Any]] = [
        {"name": name, "unit": "s", "exponentialHistogram": {"aggregationTemporality": _DELTA, "dataPoints": own}} for name, own in points.items()
    ]
    return [*histograms, *(_sum(name, "{message}", own) for name, own in messages.items())]


def _counts(counts: Iterable[Count], times: dict[str, str]) -> list[dict[str, Any]]:
    points: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for count in counts:
        points.setdefault((count.name, count.unit), []).append({**times, "attributes": _attributes(count.attributes), "asInt": str(count.value)})
    return [_sum(name, unit, own) for (name, unit), own in points.items()]


def _sum(name: str, unit: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "unit": unit, "sum": {"aggregationTemporality": _DELTA, "isMonotonic": True, "dataPoints": points}}


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
