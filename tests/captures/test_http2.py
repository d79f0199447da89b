"""HTTP/2 and gRPC as tshark sees them."""

import pytest
from tests.captures.harness import Agreement, Capture, captures, decode_as, transactions, tshark


def _values(capture: Capture, field: str) -> list[str]:
    return [value for row in tshark(capture, field, (field,), decode_as(capture, "http2")) for value in row[field].split("\t")]


@pytest.mark.tshark
def test_methods_and_statuses() -> None:
    """A request that was upgraded from HTTP/1 is one of HTTP/2 here, and one of HTTP/1 for tshark, with an answer of 101 between."""
    agreement = Agreement("http2")
    for capture in captures("http2"):
        ours = transactions(capture, "http1", "http2")
        methods = _values(capture, "http2.headers.method") + _values(capture, "http.request.method")
        agreement.add(capture, (row["operation"] for row in ours if row["operation"] != "_OTHER"), (method for method in methods if method != "PRI"))
        statuses = _values(capture, "http2.headers.status") + _values(capture, "http.response.code")
        agreement.add(capture, (row["status"] for row in ours if row["status"]), (status for status in statuses if status != "101"))
    agreement.check()


STATUS = ("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED")


@pytest.mark.tshark
def test_calls_and_their_statuses() -> None:
    agreement = Agreement("grpc")
    for capture in captures("grpc"):
        ours = transactions(capture, "grpc")
        paths = (path.removeprefix("/") for path in _values(capture, "http2.headers.path"))
        agreement.add(capture, (row["operation"] for row in ours if row["operation"] != "_OTHER"), paths)
        statuses = (STATUS[int(value)] for value in _values(capture, "grpc.status_code"))
        agreement.add(capture, (row["status"] for row in ours if row["status"]), statuses)
    agreement.check()
