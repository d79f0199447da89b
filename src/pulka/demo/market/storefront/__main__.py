"""What customers meet: `python storefront PORTS CERTIFICATE`, where PORTS says as JSON which services there are. Ordinary code: nothing in it measures anything."""

import http.client
import json
import random
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORTS: dict[str, int] = json.loads(sys.argv[1])
CERTIFICATE = sys.argv[2]
LOCAL = threading.local()


def get(service: str, path: str) -> int:
    """The status of a request; 200 where there is no such service here."""
    if service not in PORTS:
        return 200
    if service == "wallet":
        context = ssl.create_default_context(cafile=CERTIFICATE)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection("localhost", PORTS[service], timeout=5, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", PORTS[service], timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def redis(*words: str) -> None:
    """One command, on a connection of this thread's."""
    if "redis" not in PORTS:
        return
    if not hasattr(LOCAL, "redis"):
        LOCAL.redis = socket.create_connection(("127.0.0.1", PORTS["redis"]), timeout=5)
    LOCAL.redis.sendall(f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words))
    LOCAL.redis.recv(4096)


def database() -> Any:
    """A connection of this thread's."""
    if not hasattr(LOCAL, "database"):
        import psycopg

        LOCAL.database = psycopg.connect(f"host=127.0.0.1 port={PORTS['postgres']} user=market dbname=postgres sslmode=disable gssencmode=disable", autocommit=True)
        LOCAL.database.execute("CREATE TABLE IF NOT EXISTS orders (item text, price int)")
    return LOCAL.database


def home() -> int:
    redis("GET", f"session:{random.randrange(50)}")
    return max(get("prices", f"/prices/{random.randrange(1000)}"), get("reviews", "/reviews"))


def basket() -> int:
    redis("SET", f"basket:{random.randrange(50)}", "umbrella")
    return get("warehouse", f"/stock/{random.randrange(1000)}")


def order() -> int:
    if "postgres" in PORTS:
        table = "orders" if random.random() < 0.95 else "ordres"  # a mistake that is made now and then
        try:
            database().execute(f"INSERT INTO {table} (item, price) VALUES (%s, %s)", ("umbrella", random.randrange(100)))
        except Exception:
            return 500
    return get("wallet", "/charge")


ROUTES: dict[str, Callable[[], int]] = {"/": home, "/basket": basket, "/order": order}


class Handler(BaseHTTPRequestHandler):
    """Connections are kept, as browsers like it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        route = ROUTES.get(self.path)
        try:
            status = route() if route else 404
        except OSError:
            status = 502
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *words: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORTS["storefront"]), Handler).serve_forever(0.1)
