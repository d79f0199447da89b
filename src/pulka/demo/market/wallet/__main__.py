"""Takes the money, behind TLS: `python wallet PORT CERTIFICATE KEY`. One charge in twelve fails."""

import random
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Connections are kept."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(random.lognormvariate(0, 0.4) * 0.01)
        self.send_response(200 if random.random() < 11 / 12 else 503)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"charged")

    def log_message(self, *words: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever(0.1)
