"""Capture files made by hand."""

import struct
from collections.abc import Iterable

CLIENT, SERVER = ("10.0.0.1", 40_000), ("10.0.0.2", 80)


def pcap(packets: Iterable[tuple[int, bytes]]) -> bytes:
    """A pcap file of raw IP packets at times in ns."""
    header = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_535, 101)
    return header + b"".join(struct.pack("<IIII", ns // 10**9, ns % 10**9, len(data), len(data)) + data for ns, data in packets)


def tcp(source: tuple[str, int], destination: tuple[str, int], sequence: int, payload: bytes = b"", flags: int = 0x10, acknowledged: int = 0) -> bytes:
    """An IPv4 packet with a TCP segment; checksums are zero."""
    header = struct.pack(">HHIIBBHHH", source[1], destination[1], sequence % 2**32, acknowledged % 2**32, 5 << 4, flags, 65_535, 0, 0)
    return _ipv4(source[0], destination[0], 6, header + payload)


def udp(source: tuple[str, int], destination: tuple[str, int], payload: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram."""
    return _ipv4(source[0], destination[0], 17, struct.pack(">HHHH", source[1], destination[1], 8 + len(payload), 0) + payload)


def _ipv4(source: str, destination: str, protocol: int, body: bytes) -> bytes:
    addresses = bytes(int(part) for address in (source, destination) for part in address.split("."))
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + addresses + body


def exchange(request: bytes, answer: bytes, *, server: tuple[str, int] = SERVER, start_ns: int = 10**18, wait_ns: int = 5_000_000) -> list[tuple[int, bytes]]:
    """A connection with one request and one answer, from SYN to FIN."""
    up, down = (CLIENT, server), (server, CLIENT)
    return [
        (start_ns, tcp(*up, 99, flags=0x02)),
        (start_ns + 1, tcp(*down, 499, flags=0x12, acknowledged=100)),
        (start_ns + 2, tcp(*up, 100, request, acknowledged=500)),
        (start_ns + 2 + wait_ns, tcp(*down, 500, answer, acknowledged=100 + len(request))),
        (start_ns + 3 + wait_ns, tcp(*up, 100 + len(request), flags=0x11, acknowledged=500 + len(answer))),
        (start_ns + 4 + wait_ns, tcp(*down, 500 + len(answer), flags=0x11, acknowledged=101 + len(request))),
    ]
