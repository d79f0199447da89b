from pathlib import Path

import pyarrow as pa
import pytest
from tests.unit.edge.packets import CLIENT, SERVER, exchange, pcap, tcp, udp

from pulka.edge.capture import CaptureReader, read
from pulka.errors import BadInput

GET = b"GET /orders/12?token=secret HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Bearer secret\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
FAILED = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


def _file(tmp_path: Path, packets: list[tuple[int, bytes]]) -> Path:
    path = tmp_path / "trace.pcap"
    path.write_bytes(pcap(packets))
    return path


def test_a_transaction_with_its_times_and_sizes(tmp_path: Path) -> None:
    found = read(_file(tmp_path, exchange(GET, OK)))
    assert found.transaction_rows() == [
        {
            "timestamp_ns": 10**18 + 2, "connection": 0, "protocol": "http1", "client": "10.0.0.1:40000", "server": "10.0.0.2:80",
            "initiator": "client", "operation": "GET", "target": "/orders/*", "status": "200", "error": None, "duration_s": 0.005,
            "first_byte_s": 0.005, "request_bytes": len(GET), "response_bytes": len(OK),
            "attributes": {"network.protocol.version": "1.1", "server.address": "shop.example"},
        }
    ]  # fmt: skip
    assert found.connections.to_pylist() == [
        {"connection": 0, "transport": "tcp", "client": "10.0.0.1:40000", "server": "10.0.0.2:80", "protocol": "http1", "opaque": None,
         "transactions": 1, "bytes": len(GET) + len(OK)}
    ]  # fmt: skip
    assert found.counts.packets == 6
    assert found.counts.bytes_missing == 0


def test_no_secret_comes_out(tmp_path: Path) -> None:
    found = read(_file(tmp_path, exchange(GET, OK)))
    assert "secret" not in str(found.transaction_rows()) + str(found.red.to_pylist())


def test_rates_errors_and_durations(tmp_path: Path) -> None:
    packets = []
    for number in range(10):
        packets += exchange(GET, FAILED if number == 3 else OK, start_ns=10**18 + number * 10**9, wait_ns=10_000_000 * (number + 1))
    red = read(_file(tmp_path, packets)).red.to_pylist()
    assert [(row["operation"], row["target"], row["status"], row["error"], row["count"]) for row in red] == [
        ("GET", "/orders/*", "200", None, 9),
        ("GET", "/orders/*", "503", "503", 1),
    ]
    assert red[0]["max_s"] == pytest.approx(0.1)
    assert red[0]["p50_s"] == pytest.approx(0.06, rel=0.1)


def test_segments_in_any_order_twice_or_lost(tmp_path: Path) -> None:
    body = bytes(3000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + body
    whole = exchange(GET, answer)
    start, (at_ns, _), end = whole[:3], whole[3], whole[4:]
    pieces = [tcp(SERVER, CLIENT, 500 + offset, answer[offset : offset + 1000], acknowledged=600) for offset in range(0, len(answer), 1000)]
    expected = read(_file(tmp_path, whole)).transaction_rows()
    shuffled = [(at_ns, pieces[index]) for index in (0, 2, 1, 1, 3, 0)]
    assert read(_file(tmp_path, [*start, *shuffled, *end])).transaction_rows() == expected
    lost = read(_file(tmp_path, [*start, *((at_ns, pieces[index]) for index in (0, 2, 3)), *end]))
    assert lost.transaction_rows() == expected
    assert lost.counts.bytes_missing == 1000


def test_dns_and_what_is_no_protocol(tmp_path: Path) -> None:
    query = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"
    answer = b"\x00\x07\x81\x83" + query[4:]
    resolver = ("10.0.0.3", 53)
    packets = [(1, udp(CLIENT, resolver, query)), (2_000_001, udp(resolver, CLIENT, answer)), (3, udp(CLIENT, SERVER, b"what is this"))]
    found = read(_file(tmp_path, packets))
    assert [(row["protocol"], row["operation"], row["target"], row["status"], row["error"]) for row in found.transaction_rows()] == [
        ("dns", "A", "a.example", "NXDOMAIN", "NXDOMAIN")
    ]
    assert [row["protocol"] for row in found.connections.to_pylist()] == ["dns", None]
    assert found.connections.to_pylist()[1]["opaque"]


def test_one_direction_alone_has_no_durations_and_no_errors(tmp_path: Path) -> None:
    packets = [packet for packet in exchange(GET, OK) if packet[1][12:16] == bytes([10, 0, 0, 1])]
    (row,) = read(_file(tmp_path, packets)).transaction_rows()
    assert (row["operation"], row["initiator"], row["error"], row["duration_s"]) == ("GET", "client one-way", None, None)


def test_keys_and_connections_are_bounded(tmp_path: Path) -> None:
    packets = []
    for number in range(200):
        path = f"GET /{'abcdefghij'[number % 10]}{'klmnopqrst'[number // 10 % 10]}{'uv'[number // 100]} HTTP/1.1\r\n\r\n".encode()
        packets += exchange(path, OK, server=("10.0.1.2", 1000 + number))[:4]
    reader = CaptureReader(connections_max=16, keys_max=20)
    rows = sum(batch.num_rows for batch, _ in reader.batches(_file(tmp_path, packets)))
    assert rows == 200
    assert reader.counts().connections_evicted >= 184
    red = reader.red().to_pylist()
    assert len(red) == 41, "twenty of their own, twenty whose operations are one, and the rest"
    assert sum(row["count"] for row in red) == 200


def test_files_that_are_no_captures(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    with pytest.raises(BadInput, match="neither pcap nor pcapng"):
        read(tmp_path / "text")
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(pcap(exchange(GET, OK))[:-5])
    assert read(cut).counts.ends_within_a_packet
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "absent")


def test_batches_have_one_schema(tmp_path: Path) -> None:
    batches = list(CaptureReader().batches(_file(tmp_path, exchange(GET, OK))))
    assert len(batches) == 2
    pa.Table.from_batches([transactions for transactions, _ in batches])
