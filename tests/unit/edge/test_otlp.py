"""Exports are what OTLP says: they parse into its own messages, and the lake takes them."""

import random
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.unit.edge.rows import exemplar, row

from pulka._native import DecodeOptions, decode_otlp
from pulka.edge.otlp import Count, Service, encode
from pulka.edge.semconv import attributes, metric_name, span_name

CONVENTIONS = [
    (row(), "http.server.request.duration", {"http.request.method": "GET", "http.route": "/orders/*", "http.response.status_code": 200}),
    (row(is_client=True, address="10.0.0.1", peer="cart"), "http.client.request.duration", {"server.address": "10.0.0.1", "peer.service": "cart"}),
    (row(protocol="http2", tls=True), "http.server.request.duration", {"url.scheme": "https", "network.protocol.version": "2"}),
    (row(protocol="grpc", operation="POST", target="shop.Cart/Add", status="5"), "rpc.server.call.duration", {"rpc.method": "shop.Cart/Add"}),
    (row(protocol="postgresql", operation="SELECT", target="SELECT orders", status="42P01", error="42P01", is_client=True),
     "db.client.operation.duration", {"db.system.name": "postgresql", "db.response.status_code": "42P01", "error.type": "42P01"}),
    (row(protocol="redis"), "pulka.db.server.operation.duration", {"db.system.name": "redis"}),
    (row(protocol="kafka", operation="Produce", target="orders", is_client=True), "messaging.client.operation.duration",
     {"messaging.system": "kafka", "messaging.destination.name": "orders"}),
    (row(protocol="dns", operation="A", target="shop.example", is_client=True), "dns.lookup.duration", {"dns.question.name": "shop.example"}),
    (row(protocol="novel"), "pulka.server.request.duration", {"network.protocol.name": "novel"}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "name", "some"), CONVENTIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_conventions(given: Any, name: str, some: dict[str, Any]) -> None:
    assert metric_name(given) == name
    assert some.items() <= attributes(given).items()
    assert "" not in attributes(given).values() and None not in attributes(given).values()
    assert span_name(given)


def exports(*rows: Any, counts: tuple[Count, ...] = ()) -> dict[str, bytes]:
    services = {"shop": Service("shop", "systemd unit", "python 3.11")}
    requests = encode(rows, counts, services, "host-1", 1_000_000_000, 11_000_000_000, random.Random(7))
    return {request.signal: msgspec.json.encode(request.body) for request in requests}


def test_metrics_are_exponential_histograms_with_exemplars_that_are_spans() -> None:
    sent = exports(row(exemplars=[exemplar(), exemplar(error="500")]), row(service="cart", one_way=4, count=0))
    metrics = Parse(sent["metrics"], ExportMetricsServiceRequest())
    shop, cart = metrics.resource_metrics
    assert {item.key: item.value.string_value for item in shop.resource.attributes}["process.runtime.version"] == "3.11"
    histogram = shop.scope_metrics[0].metrics[0].exponential_histogram
    point = histogram.data_points[0]
    assert (histogram.aggregation_temporality, point.count, point.scale, list(point.positive.bucket_counts)) == (1, 3, 5, [1, 0, 2])
    assert cart.scope_metrics[0].metrics[0].sum.data_points[0].as_int == 4
    spans = Parse(sent["traces"], ExportTraceServiceRequest()).resource_spans[0].scope_spans[0].spans
    assert [span.status.code for span in spans] == [0, 2]
    assert {item.span_id for item in point.exemplars} == {span.span_id for span in spans}


def test_what_cannot_be_read_is_counted_with_its_reason() -> None:
    count = Count("cart", "pulka.connections.unreadable", "{connection}", {"pulka.reason": "encrypted"}, 3)
    (resource,) = Parse(exports(counts=(count,))["metrics"], ExportMetricsServiceRequest()).resource_metrics
    (metric,) = resource.scope_metrics[0].metrics
    assert metric.name == count.name and metric.sum.is_monotonic and metric.sum.data_points[0].as_int == 3


def test_nothing_seen_sends_nothing() -> None:
    assert exports() == {}


def test_the_lake_takes_every_export() -> None:
    for signal, body in exports(*[given for given, _, _ in CONVENTIONS], row(exemplars=[exemplar()], one_way=1)).items():
        decoded = decode_otlp(body, signal, "json", 0, DecodeOptions())
        assert decoded.rows > 0 and decoded.rejected == 0, decoded.samples
