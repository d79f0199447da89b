"""Services and the map from what the agent sent of the demo's market (two intervals of five seconds, recorded), against sums over the bodies."""

from collections import defaultdict
from itertools import accumulate
from pathlib import Path

import msgspec
import pytest

from pulka._native import DecodeOptions, decode_otlp
from pulka.model.agent_metrics import CLIENT_SIDE, SERVER_SIDE
from pulka.model.windows import TimeRange
from pulka.query.questions.services import Fields, map_of, services
from pulka.seams import Position

SENT = [msgspec.json.decode(line) for line in (Path(__file__).parent / "agent.ndjson").read_bytes().splitlines()]
TABLES = {"metrics": "metrics", "traces": "spans"}
EDGES = {
    ("shoppers", "nginx"), ("nginx", "storefront"), ("storefront", "prices"), ("storefront", "warehouse"), ("storefront", "Reviews"), ("storefront", "wallet"),
    ("storefront", "redis-server"), ("storefront", "postgres"),
}  # fmt: skip


def plain(item):
    return {one["key"]: next(iter(one["value"].values())) for one in item["attributes"]}


def points():
    """(service, metric, attributes, requests, the bounds of each bucket with its count) of every point."""
    for sent in SENT:
        for resource in sent["body"].get("resourceMetrics", []):
            service = plain(resource["resource"])["service.name"]
            for metric in resource["scopeMetrics"][0]["metrics"]:
                for point in metric.get("exponentialHistogram", {}).get("dataPoints", []):
                    width, offset = 2.0 ** -point["scale"], point["positive"]["offset"]
                    buckets = [(2 ** ((offset + at) * width), int(count)) for at, count in enumerate(point["positive"]["bucketCounts"]) if count != "0"]
                    yield service, metric["name"], plain(point), int(point["count"]), buckets
                for point in metric.get("sum", {}).get("dataPoints", []):
                    yield service, metric["name"], plain(point), int(point["asInt"]), []


def requests(names, key):
    """By key; handshakes where there is nothing else."""
    counts, handshakes = defaultdict(int), defaultdict(int)
    for service, name, attributes, count, _ in points():
        if name in names:
            (handshakes if attributes.get("network.protocol.name") == "tls" else counts)[key(service, attributes)] += count
    return {**handshakes, **counts}


@pytest.fixture
def told(lake):
    for number, sent in enumerate(SENT):
        body, table = msgspec.json.encode(sent["body"]), TABLES[sent["signal"]]
        decoded = decode_otlp(body, sent["signal"], "json", sent["at_ns"], DecodeOptions())
        assert decoded.rejected == 0
        lake.fresh.add("acme", table, Position(0, number + 1), decoded.batch, {})
    fresh = lake.fresh.fresh_fields("acme")
    return Fields(fresh["spans"].keys(), fresh["metrics"].keys())


def test_services_have_what_was_sent(told, asked, wait):
    found = {one["service"]: one for one in wait(services(asked(), TimeRange(), told))}
    assert {name: one["requests"] for name, one in found.items()} == requests(SERVER_SIDE, lambda service, _: service)
    assert {one["source"] for one in found.values()} == {"agent"}
    errors = requests(SERVER_SIDE, lambda service, attributes: service if "error.type" in attributes else None)
    assert sum(one["errors"] for one in found.values()) == sum(count for service, count in errors.items() if service)
    for name in ("prices", "postgres"):
        buckets = sorted(bucket for service, metric, _, _, some in points() if service == name and metric in SERVER_SIDE for bucket in some)
        half = sum(count for _, count in buckets) / 2
        middle = next(lower for (lower, _), seen in zip(buckets, accumulate(count for _, count in buckets), strict=True) if seen >= half)
        assert found[name]["p50_ns"] == pytest.approx(middle * 1e9, rel=0.1)
        assert found[name]["p50_ns"] <= found[name]["p95_ns"] <= found[name]["p99_ns"]


def test_the_map_is_the_market(told, asked, wait):
    found = wait(map_of(asked(), TimeRange(), told))
    edges = {(one["client"], one["server"]): one for one in found["edges"]}
    assert edges.keys() == EDGES
    called = requests(CLIENT_SIDE, lambda service, attributes: (service, attributes.get("peer.service")))
    served = requests(SERVER_SIDE, lambda service, attributes: (attributes.get("peer.service"), service))
    assert {key: one["requests"] for key, one in edges.items()} == {key: max(called.get(key, 0), served.get(key, 0)) for key in EDGES}
    assert {node["kind"] for node in found["nodes"]} == {"service"}
