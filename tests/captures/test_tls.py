"""TLS handshakes as tshark sees them."""

import pytest
from tests.captures.harness import Agreement, captures, decode_as, transactions, tshark

_NAME, _LEGACY, _CHOSEN, _CIPHER = (
    "tls.handshake.extensions_server_name",
    "tls.handshake.version",
    "tls.handshake.extensions.supported_version",
    "tls.handshake.ciphersuite",
)


# TLS that begins within a stream of SOCKS, and within UDP of GTP, which are not read.
_WITHIN = {"tls_heur__shadowsocks-tcp.pcapng", "tls_heur__trojan-tcp-tls.pcapng", "tls_heur__vmess-tcp-tls.pcapng", "tls_heur__vmess-tcp.pcapng",
           "tls_heur__vmess-websocket.pcapng", "tls_invalid_reads.pcap"}  # fmt: skip


def _first(value: str) -> str:
    return value.split("\t")[0]


@pytest.mark.tshark
def test_names_versions_and_ciphers() -> None:
    """The first hello of each stream: names of clients, versions and ciphers that servers chose."""
    agreement = Agreement("tls")
    for capture in captures("tls"):
        if capture.path.name in _WITHIN:
            continue
        names: dict[str, str] = {}
        chosen: dict[str, tuple[str, str]] = {}
        fields = ("tcp.stream", "tls.handshake.type", _NAME, _LEGACY, _CHOSEN, _CIPHER)
        for row in tshark(capture, "(tls.handshake.type == 1 or tls.handshake.type == 2) and tcp", fields, decode_as(capture, "tls")):
            if "1" in row["tls.handshake.type"].split("\t"):
                names.setdefault(row["tcp.stream"], _first(row[_NAME]))
            else:
                chosen[row["tcp.stream"]] = (_version(_first(row[_CHOSEN]) or _first(row[_LEGACY])), _first(row[_CIPHER]))
        ours = transactions(capture, "tls")
        agreement.add(capture, (row["target"] or "" for row in ours if row["initiator"] != "server one-way"), names.values())
        agreement.add(capture, (row["status"] for row in ours if row["status"]), (version for version, _ in chosen.values()))
    agreement.check()


def _version(number: str) -> str:
    value = int(number, 16)
    if value == 0x300:
        return "SSL 3.0"
    return f"1.{value - 0x301}" if value <= 0x304 else "1.3" if value >> 8 == 0x7F else f"0x{value:04x}"
