"""HTTP/2 and gRPC as tshark sees them."""

import pytest
from tests.captures.harness import Agreement, Capture, captures, decode_as, transactions, tshark

_STATUS = ("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED")
_CALLS = {"h2c_ascii.pcap"}
_TUNNEL = "http2/suricata-verify/http2-errorcode/input.pcap"


def _headers(capture: Capture) -> list[tuple[str, str]]:
    """Names and values of all header fields, of HTTP/1 the method and the status; told of the ports when it sees nothing else."""
    fields = ("http2.header.name", "http2.header.value", "http.request.method", "http.response.code")
    display_filter = "http2.header.name or http.request.method or http.response.code"
    rows = tshark(capture, display_filter, fields) or tshark(capture, display_filter, fields, decode_as(capture, "http2"))
    found = []
    for row in rows:
        found += zip(row["http2.header.name"].split("\t"), row["http2.header.value"].split("\t"), strict=False)
        found += [(":method", method) for method in row["http.request.method"].split("\t")]
        found += [(":status", status) for status in row["http.response.code"].split("\t") if status != "101"]
    return [(name, value) for name, value in found if value and value != "PRI"]


@pytest.mark.tshark
def test_methods_and_statuses() -> None:
    """A request that was upgraded from HTTP/1 is one of HTTP/2 here, and one of HTTP/1 for tshark, with an answer of 101 between."""
    agreement = Agreement("http2")
    for capture in captures("http2"):
        if capture.path.name in _CALLS or str(capture) == _TUNNEL:
            continue
        ours = transactions(capture, "http1", "http2")
        headers = _headers(capture)
        if capture.path.name != "http2-nghttp2.pcap":  # where tshark does not show the header of the only request
            agreement.add(capture, (row["operation"] for row in ours), (value for name, value in headers if name == ":method"))
        agreement.add(capture, (row["status"] for row in ours if row["status"]), (value for name, value in headers if name == ":status"))
    agreement.check()


@pytest.mark.tshark
def test_calls_and_their_statuses() -> None:
    agreement = Agreement("grpc")
    for capture in captures("grpc", "http2"):
        if capture.protocol == "http2" and capture.path.name not in _CALLS:
            continue
        ours = transactions(capture, "grpc")
        headers = _headers(capture)
        paths = (value.removeprefix("/") for name, value in headers if name == ":path")
        agreement.add(capture, (row["operation"] for row in ours if row["operation"] != "_OTHER"), paths)
        statuses = (_STATUS[int(value)] for name, value in headers if name == "grpc-status")
        agreement.add(capture, (row["status"] for row in ours if row["status"]), statuses)
    agreement.check()


def test_calls_within_a_tunnel() -> None:
    """A proxy's CONNECT, then HTTP/2 through it, and the same call behind the proxy."""
    capture = next(capture for capture in captures("http2") if str(capture) == _TUNNEL)
    found = sorted((row["protocol"], row["operation"], row["status"]) for row in transactions(capture))
    assert found == [("grpc", "helloworld.GreeterService/SayHello", "OK")] * 2 + [("http1", "CONNECT", "200")]
