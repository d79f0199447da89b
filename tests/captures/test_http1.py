"""HTTP/1 as tshark sees it, and as Zeek does where tshark looks away."""

import pytest
from tests.captures.harness import Agreement, Capture, captures, decode_as, transactions, tshark

# tshark reads no HTTP/0.9, and nothing after a segment that is missing or odd.
_LOOKS_AWAY = {"http_09.pcap", "no-version.pcap", "unidirectional_tcp_stream_with_missing_packet.pcap", "http-tcp-seq-issue.pcap"}


def _named(name: str) -> Capture:
    return next(capture for capture in captures("http1", "tcp") if capture.path.name == name)


@pytest.mark.tshark
def test_methods_and_statuses() -> None:
    agreement = Agreement("http1")
    for capture in captures("http1", "tcp", "websocket"):
        if capture.path.name in _LOOKS_AWAY:
            continue
        hints = decode_as(capture, "http1")
        methods = (row["http.request.method"] for row in tshark(capture, "http.request", ("http.request.method",), hints))
        codes = (code for row in tshark(capture, "http.response", ("http.response.code",), hints) for code in row["http.response.code"].split("\t"))
        ours = transactions(capture, "http1")
        agreement.add(capture, (row["operation"] for row in ours if row["initiator"] != "server one-way"), methods)
        agreement.add(capture, (row["status"] for row in ours if row["status"]), (code for code in codes if code != "100"))
    agreement.check()


def test_without_a_version() -> None:
    """Zeek's http.log for the same file: two requests of HTTP/0.9, and three connections that are no HTTP."""
    found = transactions(_named("http_09.pcap"))
    assert [(row["operation"], row["target"], row["attributes"]["network.protocol.version"]) for row in found] == [
        ("GET", "/zeek.html", "0.9"),
        ("POST", "/zeek.html", "0.9"),
    ]


def test_after_a_missing_segment() -> None:
    """Of the two requests of this direction a part of the first one's body is missing."""
    found = transactions(_named("unidirectional_tcp_stream_with_missing_packet.pcap"))
    assert [(row["operation"], row["initiator"]) for row in found] == [("POST", "client one-way")] * 2


def test_with_odd_sequence_numbers() -> None:
    """As Arkime finds it."""
    found = transactions(_named("http-tcp-seq-issue.pcap"))
    assert [(row["operation"], row["status"]) for row in found] == [("POST", "200")]
