"""HTTP/2 and gRPC as tshark sees them."""

import pytest
from tests.captures.harness import Agreement, Capture, captures, transactions, tshark


def _values(capture: Capture, display_filter: str, field: str) -> list[str]:
    return [value for row in tshark(capture, display_filter, (field,)) for value in row[field].split("\t")]


@pytest.mark.tshark
def test_methods_and_statuses() -> None:
    agreement = Agreement("http2")
    for capture in captures("http2"):
        ours = transactions(capture, "http2")
        agreement.add(capture, (row["operation"] for row in ours if row["operation"] != "_OTHER"), _values(capture, "http2.headers.method", "http2.headers.method"))
        agreement.add(capture, (row["status"] for row in ours if row["status"]), _values(capture, "http2.headers.status", "http2.headers.status"))
    agreement.check()


STATUS = ("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED")


@pytest.mark.tshark
def test_calls_and_their_statuses() -> None:
    agreement = Agreement("grpc")
    for capture in captures("grpc"):
        ours = transactions(capture, "grpc")
        paths = (path.removeprefix("/") for path in _values(capture, "http2.headers.path", "http2.headers.path"))
        agreement.add(capture, (row["operation"] for row in ours if row["operation"] != "_OTHER"), paths)
        statuses = (STATUS[int(value)] for value in _values(capture, "grpc.status_code", "grpc.status_code"))
        agreement.add(capture, (row["status"] for row in ours if row["status"]), statuses)
    agreement.check()
