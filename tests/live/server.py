"""A small HTTP/1.1 server: `python server.py [cert.pem key.pem] [--threads | --forks] [--port=N]`. Prints its port. asyncio by default, otherwise a thread or process per connection."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
import threading

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def answer(head: bytes) -> bytes:
    return MISSING if head.startswith(b"GET /missing") else OK


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            writer.write(answer(await reader.readuntil(b"\r\n\r\n")))
    writer.close()


def serve_in_thread(sock: socket.socket, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = context.wrap_socket(sock, server_side=True) if context else sock
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                got = sock.recv(65536)
                if not got:
                    sock.close()
                    return
                rest += got
            head, _, rest = rest.partition(b"\r\n\r\n")
            sock.sendall(answer(head))


def serve_in_process(sock: socket.socket, context: ssl.SSLContext | None) -> None:
    """It lives as long as its connection does, as PostgreSQL's do."""
    if os.fork() == 0:
        serve_in_thread(sock, context)
        os._exit(0)
    sock.close()


def main() -> None:
    files = [word for word in sys.argv[1:] if not word.startswith("--")]
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    port = next((int(word.removeprefix("--port=")) for word in sys.argv if word.startswith("--port=")), 0)
    if "--forks" in sys.argv:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nothing of a process that has ended stays
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        print(listener.getsockname()[1], flush=True)
        while True:
            serve_in_process(listener.accept()[0], context)
    if "--threads" in sys.argv:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        print(listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=serve_in_thread, args=(listener.accept()[0], context), daemon=True).start()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    main()
