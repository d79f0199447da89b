"""A DNS server on port 53 of an address of its own, `python dns_server.py ADDRESS`: says NXDOMAIN to names with `missing`, one address to all others."""

import socket
import sys


def answer(query: bytes) -> bytes:
    question = query[12:]
    if b"missing" in query:
        return query[:2] + b"\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00" + question
    return query[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question + b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01"


def main() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((sys.argv[1], 53))
    print(53, flush=True)
    while True:
        query, peer = sock.recvfrom(2048)
        sock.sendto(answer(query), peer)


if __name__ == "__main__":
    main()
