"""No connection is taken for another protocol than the one it speaks: tshark names the protocols of every stream."""

import re
from functools import cache

import pytest
from tests.captures.harness import Capture, captures, reading, tshark

# Ours -> the names under which tshark knows it.
NAMES = {
    "http1": {"http", "ssdp", "data-text-lines"},
    "http2": {"http2"},
    "grpc": {"grpc"},
    "tls": {"tls", "ssl"},
    "dns": {"dns", "mdns", "llmnr"},
    "postgresql": {"pgsql"},
    "mysql": {"mysql"},
    "redis": {"resp"},
    "kafka": {"kafka"},
    "mongodb": {"mongo"},
    "amqp": {"amqp"},
    "nats": {"nats"},
    "mqtt": {"mqtt"},
    "memcached": {"memcache"},
    "cassandra": {"cql"},
    "websocket": {"websocket"},
}
# Folder of the captures -> ours; other folders (oracle, tds, thrift) hold what nobody here decodes.
FOLDERS = {name: {name, "tls"} for name in NAMES} | {"grpc": {"grpc", "http2"}, "websocket": {"websocket", "http1"}, "tcp": {"http1"}}
FOLDERS["http2"] |= {"http1"}


# Where tshark is mistaken: HTTP/2 within a tunnel of port 8888 is HTTP/1 for it, a hello of MongoDB one of TLS (nDPI says MongoDB).
MISTAKEN = {"http2/suricata-verify/http2-errorcode/input.pcap", "mongodb/arkime/mongo.pcap", "mongodb/ndpi/mongodb.pcap"}


@cache
def named_by_tshark(capture: Capture) -> dict[frozenset[str], set[str]]:
    """Pair of ports -> all protocols that tshark saw between them."""
    fields = ("tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "frame.protocols")
    found: dict[frozenset[str], set[str]] = {}
    for row in tshark(capture, "tcp or udp", fields):
        ports = frozenset(value.split("\t")[0] for name, value in row.items() if name.endswith("port") and value)
        found.setdefault(ports, set()).update(row["frame.protocols"].replace("\t", ":").split(":"))
    return found


@pytest.mark.parametrize("capture", captures(), ids=str)
def test_folders_hold_their_protocol_only(capture: Capture) -> None:
    found = {row["protocol"] for row in reading(capture).connections.to_pylist()} - {None}
    if capture.protocol not in {"http1", "dns", "tls"}:  # which hold other traffic of the same hosts, too
        assert found <= FOLDERS.get(capture.protocol, set())


@pytest.mark.slow
@pytest.mark.tshark
@pytest.mark.parametrize("capture", captures(), ids=str)
def test_tshark_knows_the_connection_by_the_same_name(capture: Capture) -> None:
    for row in reading(capture).connections.to_pylist():
        if row["protocol"] is None:
            continue
        ports = frozenset(re.sub(r".*:", "", row[end]) for end in ("client", "server"))
        theirs = named_by_tshark(capture).get(ports, set())
        if str(capture) in MISTAKEN:
            continue
        known = set().union(*NAMES.values()) & theirs
        assert not known or NAMES[row["protocol"]] & theirs, f"{row} is {theirs} for tshark"


# Ours -> nDPI's; MySQL and PostgreSQL become TLS when both sides agree to it.
NDPI = {
    "http1": {"HTTP", "HTTP_Connect", "HTTP_Proxy", "WebSocket"}, "http2": {"HTTP2", "HTTP", "GRPC"}, "tls": {"TLS", "DoH_DoT", "MySQL", "PostgreSQL"}, "dns": {"DNS", "MDNS", "LLMNR"},
    "postgresql": {"PostgreSQL"}, "mysql": {"MySQL"}, "redis": {"RESP", "Redis"}, "kafka": {"Kafka"}, "mongodb": {"MongoDB"}, "amqp": {"AMQP"}, "nats": {"Nats"},
    "mqtt": {"MQTT"}, "memcached": {"Memcached"}, "cassandra": {"Cassandra"}, "websocket": {"WebSocket", "HTTP"},
}  # fmt: skip


@pytest.mark.parametrize("capture", [capture for capture in captures() if capture.beside(".out")], ids=str)
def test_ndpi_knows_the_connection_by_the_same_name(capture: Capture) -> None:
    known = set().union(*NDPI.values())
    theirs: dict[frozenset[str], set[str]] = {}
    for line in capture.beside(".out")[0].read_text().splitlines():
        if flow := re.search(r"(?:TCP|UDP) \S+:(\d+) <?->? \S+:(\d+) .*?\[proto: [\d.]+/([^\]]+)\]", line):
            theirs.setdefault(frozenset(flow.group(1, 2)), set()).update(flow[3].split("."))
    for row in reading(capture).connections.to_pylist():
        names = theirs.get(frozenset(row[end].rpartition(":")[2] for end in ("client", "server")), set()) & known
        assert row["protocol"] is None or not names or names & NDPI[row["protocol"]], f"{row} is {names} for nDPI"
