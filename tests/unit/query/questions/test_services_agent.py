"""Services and the map from what the agent sends, alone and beside spans."""

import random

import msgspec
import pyarrow as pa
import pytest
from tests.unit.edge.rows import exemplar, row

from pulka._native import DecodeOptions, decode_otlp
from pulka.edge.otlp import encode
from pulka.edge.semconv import messages_name, metric_name
from pulka.model.agent_metrics import CLIENT_SIDE, SERVER_SIDE
from pulka.model.windows import TimeRange
from pulka.query.questions.services import Fields, map_of, services
from pulka.seams import Position

SECOND = 1_000_000_000
WINDOW = TimeRange(0, 100 * SECOND)
PROTOCOLS = ("http1", "http2", "grpc", "postgresql", "redis", "kafka", "mqtt", "dns", "tls", "novel")


@pytest.fixture
def sent(lake):
    """sent(rows...): an interval of the agent's in the lake, the n-th of ten seconds."""
    turns = iter(range(1, 100))

    def send(*rows, tenant="acme"):
        turn = next(turns)
        for request in encode(rows, [], {}, "host-1", turn * 10 * SECOND, (turn + 1) * 10 * SECOND, random.Random(turn)):
            decoded = decode_otlp(msgspec.json.encode(request.body), request.signal, "json", 0, DecodeOptions())
            assert decoded.rejected == 0, decoded.samples
            table = {"metrics": "metrics", "traces": "spans"}[request.signal]
            lake.fresh.add(tenant, table, Position(0, 100 + turn), timed(decoded.batch, turn), {})

    return send


def timed(batch, turn):
    """The arrival is that of the interval's end: the decoder believes no time so long ago."""
    at = batch.schema.get_field_index("timestamp")
    times = pa.array([(turn + 1) * 10 * SECOND] * batch.num_rows, batch.schema.field(at).type)
    return batch.set_column(at, batch.schema.field(at), times)


def known(lake, tenant="acme"):
    fresh = lake.fresh.fresh_fields(tenant)
    return Fields(fresh.get("spans", {}).keys(), fresh.get("metrics", {}).keys())


def asked_services(lake, asked, wait, window=WINDOW):
    return {one["service"]: one for one in wait(services(asked(window=window), window, known(lake)))}


def asked_map(lake, asked, wait, window=WINDOW):
    found = wait(map_of(asked(window=window), window, known(lake)))
    return {(one["client"], one["server"]): one for one in found["edges"]}, {one["service"]: one["kind"] for one in found["nodes"]}


def test_every_metric_is_of_a_side():
    for protocol in PROTOCOLS:
        for is_client, side in ((False, SERVER_SIDE), (True, CLIENT_SIDE)):
            one = row(protocol=protocol, is_client=is_client)
            assert metric_name(one) in side and messages_name(one) in side
    assert not set(SERVER_SIDE) & set(CLIENT_SIDE)


def test_services_are_what_was_asked_of_them(lake, asked, wait, sent):
    for _ in range(4):
        sent(row(), row(status="500", error="500", count=1, sum=0.9, counts=[1], offset=-5), row(service="web", is_client=True, peer="shop"))
    found = asked_services(lake, asked, wait)
    assert set(found) == {"shop"}, "who only asks is no service here"
    shop = found["shop"]
    assert (shop["requests"], shop["errors"], shop["rate"], shop["error_share"], shop["source"]) == (16, 4, 0.16, 0.25, "agent")
    assert shop["mean_ns"] == pytest.approx(0.375e9)
    assert shop["p50_ns"] == pytest.approx(2 ** (-104.5 / 32) * 1e9, rel=0.01)
    assert shop["p99_ns"] == pytest.approx(2 ** (-4.5 / 32) * 1e9, rel=0.01)


def test_open_windows_rate_over_what_was_told(lake, asked, wait, sent):
    for _ in range(4):
        sent(row(count=10, counts=[4, 2, 4]))
    assert asked_services(lake, asked, wait, TimeRange())["shop"]["rate"] == 1.0


def test_messages_without_an_answer_count_and_have_no_duration(lake, asked, wait, sent):
    sent(row(service="broker", protocol="nats", operation="publish", target="orders", status="", count=0, one_way=7))
    broker = asked_services(lake, asked, wait)["broker"]
    assert (broker["requests"], broker["errors"], broker["p50_ns"], broker["mean_ns"]) == (7, 0, None, None)


def test_handshakes_count_only_where_nothing_else_is_read(lake, asked, wait, sent):
    sent(row(), row(protocol="tls", operation="handshake", target="", status="1.3"), row(service="sealed", protocol="tls", operation="handshake", count=2))
    found = asked_services(lake, asked, wait)
    assert (found["shop"]["requests"], found["sealed"]["requests"]) == (3, 2)


def test_an_edge_that_both_ends_tell_of_counts_once(lake, asked, wait, sent):
    sent(row(peer="web", count=3), row(service="web", is_client=True, peer="shop", count=5, counts=[1, 2, 2]))
    edges, nodes = asked_map(lake, asked, wait)
    assert {key: (edge["requests"], edge["source"]) for key, edge in edges.items()} == {("web", "shop"): (5, "agent")}
    assert nodes == {"shop": "service", "web": "service"}


def test_what_has_no_name_is_an_address_or_unknown(lake, asked, wait, sent):
    sent(
        row(address="203.0.113.9"), row(address="203.0.113.10"),
        row(is_client=True, protocol="postgresql", address="10.0.0.5", port=5432), row(is_client=True, protocol="redis", address="::1", port=6379),
    )  # fmt: skip
    edges, nodes = asked_map(lake, asked, wait)
    assert {key: edge["requests"] for key, edge in edges.items()} == {("unknown", "shop"): 6, ("shop", "10.0.0.5:5432"): 3, ("shop", "[::1]:6379"): 3}
    assert nodes == {"shop": "service", "unknown": "unknown", "10.0.0.5:5432": "peer", "[::1]:6379": "peer"}


FAR = {"port": 8080}


def test_a_call_between_two_hosts_is_one_edge(lake, asked, wait, sent):
    """Neither agent knows the other's service, but both tell of the same two addresses and port."""
    sent(row(address="10.0.0.1", own_address="10.0.0.2", count=2, **FAR))
    sent(row(service="web", is_client=True, address="10.0.0.2", own_address="10.0.0.1", count=5, counts=[1, 2, 2], **FAR))
    edges, nodes = asked_map(lake, asked, wait)
    assert {key: (edge["requests"], edge["source"]) for key, edge in edges.items()} == {("web", "shop"): (5, "agent")}
    assert nodes == {"shop": "service", "web": "service"}


def test_several_clients_of_one_host_keep_their_edges(lake, asked, wait, sent):
    sent(row(address="10.0.0.1", own_address="10.0.0.2", count=9, counts=[3, 3, 3], **FAR))
    sent(*(row(service=name, is_client=True, address="10.0.0.2", own_address="10.0.0.1", **FAR) for name in ("web", "worker")))
    edges, _ = asked_map(lake, asked, wait)
    assert {key: edge["requests"] for key, edge in edges.items()} == {("web", "shop"): 3, ("worker", "shop"): 3}


def test_addresses_that_every_host_has_or_that_several_services_share_are_no_names(lake, asked, wait, sent):
    sent(row(address="127.0.0.1", own_address="127.0.0.1"), row(service="web", is_client=True, address="127.0.0.1", own_address="127.0.0.1", port=80))
    sent(*(row(service=name, address="10.0.0.1", own_address="10.0.0.2", **FAR) for name in ("a", "b")))
    sent(row(service="web", is_client=True, address="10.0.0.2", own_address="10.0.0.1", **FAR))
    edges, _ = asked_map(lake, asked, wait)
    assert set(edges) == {("unknown", "shop"), ("web", "127.0.0.1:80"), ("web", "10.0.0.2:8080"), ("web", "a"), ("web", "b")}


def spans(count, **facts):
    return [{"timestamp": n, "trace_id": f"t{n}", "span_id": "1", "service": "shop", "kind": "server", "duration_ns": 100, **facts} for n in range(count)]


def test_spans_and_agent_are_not_added_up(lake, asked, wait, sent):
    lake.buffer(spans(2) + spans(9, service="traced"), table="spans")
    sent(row(), row(service="traced", count=4))
    found = asked_services(lake, asked, wait)
    assert {name: (one["requests"], one["source"]) for name, one in found.items()} == {"shop": (3, "both"), "traced": (9, "both")}


def test_the_agents_examples_are_no_spans_to_count(lake, asked, wait, sent):
    sent(row(exemplars=[exemplar(), exemplar(error="500")]), row(is_client=True, peer="cart", exemplars=[exemplar()]))
    assert asked_services(lake, asked, wait)["shop"]["source"] == "agent"
    edges, _ = asked_map(lake, asked, wait)
    assert {key: edge["source"] for key, edge in edges.items()} == {("unknown", "shop"): "agent", ("shop", "cart"): "agent"}


def test_a_database_that_spans_name_by_its_kind_is_the_one_the_agent_saw(lake, asked, wait, sent):
    lake.buffer([{**one, "kind": "client", "db.system": "postgresql", "parent_span_id": "0"} for one in spans(2)], table="spans")
    sent(row(is_client=True, protocol="postgresql", peer="postgres", port=5432))
    edges, _ = asked_map(lake, asked, wait)
    assert {key: (edge["requests"], edge["source"]) for key, edge in edges.items()} == {("shop", "postgres"): (3, "both")}
    sent(row(is_client=True, protocol="postgresql", address="10.0.0.5", port=5432))
    edges, _ = asked_map(lake, asked, wait)
    assert {key: edge["source"] for key, edge in edges.items()} == {("shop", "postgres"): "agent", ("shop", "10.0.0.5:5432"): "agent"}


def test_tenants_and_tables_of_other_shapes(lake, asked, wait, sent):
    sent(row(service="secret"), tenant="other")
    lake.buffer([{"timestamp": 1, "service": "odd", "scope.name": "pulka.edge", "name": "http.server.request.duration", "count": "many", "scale": "x"}], table="metrics")
    assert asked_services(lake, asked, wait) == {}
    assert asked_map(lake, asked, wait) == ({}, {})
