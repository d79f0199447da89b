"""Makes requests and says how many: `python load.py PORT CONNECTIONS REQUESTS [ca.pem] [--async] [--rate N]`. Prints one JSON line.

Each connection is kept alive and sends its requests one after the other; every seventh asks for what is not there.
"""

import argparse
import asyncio
import json
import socket
import ssl
import threading
import time

OK, MISSING = b"GET /orders/%d HTTP/1.1\r\nHost: shop\r\n\r\n", b"GET /missing HTTP/1.1\r\nHost: shop\r\n\r\n"


def request(number: int) -> bytes:
    return MISSING if number % 7 == 0 else OK % number


def read_answer(sock: socket.socket, rest: bytes) -> tuple[int, bytes]:
    while b"\r\n\r\n" not in rest:
        got = sock.recv(65536)
        if not got:
            raise ConnectionError("closed")
        rest += got
    head, _, rest = rest.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(rest) < length:
        rest += sock.recv(65536)
    return int(head.split(b" ", 2)[1]), rest[length:]


def work(port: int, requests: int, context: ssl.SSLContext | None, statuses: dict[int, int], rate: float) -> None:
    sock: socket.socket = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is not None:
        sock = context.wrap_socket(sock, server_hostname="localhost")
    rest, own, began = b"", {}, time.monotonic()
    for number in range(requests):
        if rate and (ahead := number / rate - (time.monotonic() - began)) > 0:
            time.sleep(ahead)
        sock.sendall(request(number))
        status, rest = read_answer(sock, rest)
        own[status] = own.get(status, 0) + 1
    sock.close()
    for status, count in own.items():
        statuses[status] = statuses.get(status, 0) + count


async def awork(port: int, requests: int, context: ssl.SSLContext | None, statuses: dict[int, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost" if context else None)
    for number in range(requests):
        writer.write(request(number))
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        await reader.readexactly(length)
        status = int(head.split(b" ", 2)[1])
        statuses[status] = statuses.get(status, 0) + 1
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("requests", type=int)
    parser.add_argument("ca", nargs="?")
    parser.add_argument("--async", dest="asynchronous", action="store_true")
    parser.add_argument("--rate", type=float, default=0)
    given = parser.parse_args()
    context = ssl.create_default_context(cafile=given.ca) if given.ca else None
    statuses: dict[int, int] = {}
    began = time.monotonic()
    if given.asynchronous:

        async def all_of_them() -> None:
            await asyncio.gather(*(awork(given.port, given.requests, context, statuses) for _ in range(given.connections)))

        asyncio.run(all_of_them())
    else:
        each = given.rate / given.connections
        threads = [threading.Thread(target=work, args=(given.port, given.requests, context, statuses, each)) for _ in range(given.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(json.dumps({"statuses": statuses, "elapsed_s": time.monotonic() - began, "cpu_s": time.process_time()}), flush=True)


if __name__ == "__main__":
    main()
