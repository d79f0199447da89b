"""TLS handshakes as tshark sees them."""

import pytest
from tests.captures.harness import Agreement, captures, decode_as, transactions, tshark


def _first(value: str) -> str:
    return value.split("\t")[0]


@pytest.mark.tshark
def test_names_versions_and_ciphers() -> None:
    agreement = Agreement("tls")
    for capture in captures("tls", "http1", "dns"):
        ours = transactions(capture, "tls")
        hints = decode_as(capture, "tls")
        hellos: dict[str, str] = {}
        for row in tshark(capture, "tls.handshake.type == 1 and tcp", ("tcp.stream", "tls.handshake.extensions_server_name"), hints):
            hellos.setdefault(row["tcp.stream"], _first(row["tls.handshake.extensions_server_name"]))
        agreement.add(capture, (row["target"] or "" for row in ours if row["initiator"] != "server one-way"), hellos.values())
        answers: dict[str, str] = {}
        fields = ("tcp.stream", "tls.handshake.version", "tls.handshake.extensions.supported_version", "tls.handshake.ciphersuite")
        for row in tshark(capture, "tls.handshake.type == 2 and tcp", fields, hints):
            version = _first(row["tls.handshake.extensions.supported_version"]) or _first(row["tls.handshake.version"])
            answers[row["tcp.stream"]] = version
        agreement.add(capture, (row["status"] for row in ours if row["status"]), map(_version, answers.values()))
    agreement.check()


def _version(number: str) -> str:
    value = int(number, 16)
    if value == 0x300:
        return "SSL 3.0"
    return f"1.{value - 0x301}" if value <= 0x304 else "1.3" if value >> 8 == 0x7F else f"0x{value:04x}"
