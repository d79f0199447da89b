"""Asks a DNS server: `python dns_client.py ADDRESS COUNT [--socket-each]`; every fifth name is one that is missing. Prints its pid."""

import os
import socket
import sys
import time


def query(number: int) -> bytes:
    name = b"missing" if number % 5 == 0 else b"shop"
    return number.to_bytes(2, "big") + b"\x01\x00\x00\x01" + bytes(6) + bytes([len(name)]) + name + b"\x07example\x00\x00\x01\x00\x01"


def ask(sock: socket.socket, number: int) -> None:
    sock.settimeout(5)
    sock.sendto(query(number), (sys.argv[1], 53))
    assert sock.recv(2048)[:2] == number.to_bytes(2, "big")


def main() -> None:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for number in range(int(sys.argv[2])):
        if "--socket-each" in sys.argv:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fresh:
                ask(fresh, number)
        else:
            ask(one, number)
    time.sleep(0.3)  # who is gone before the agent looks has no name
    print(os.getpid(), flush=True)


if __name__ == "__main__":
    main()
