"""HTTP/1 as tshark sees it."""

import pytest
from tests.captures.harness import Agreement, captures, transactions, tshark


@pytest.mark.tshark
def test_methods_hosts_and_statuses() -> None:
    agreement = Agreement("http1")
    for capture in captures("http1", "tcp", "websocket"):
        requests = tshark(capture, "http.request", ("http.request.method", "tcp.stream"))
        statuses = tshark(capture, "http.response", ("http.response.code",))
        ours = transactions(capture, "http1")
        agreement.add(capture, (row["operation"] for row in ours), (row["http.request.method"] for row in requests))
        agreement.add(capture, (row["status"] for row in ours if row["status"]), (code for row in statuses for code in row["http.response.code"].split("\t") if code >= "200" or code == "101"))
    agreement.check()
