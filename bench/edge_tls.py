"""ns of CPU per SSL_write and SSL_read of 200 bytes through memory: `python edge_tls.py cert.pem key.pem COUNT`."""

import os
import ssl
import sys
import time


def pair(cert: str, key: str) -> tuple[ssl.SSLObject, ssl.SSLObject, ssl.MemoryBIO]:
    """(client, server, what the client sent) after a handshake."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)
    client_side = ssl.create_default_context(cafile=cert)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    open_ends = [client, server]
    while open_ends:
        for end in list(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    return client, server, to_server


def main() -> None:
    os.sched_setaffinity(0, {0})
    client, server, _ = pair(sys.argv[1], sys.argv[2])
    count, data = int(sys.argv[3]), b"x" * 200
    for turn in range(2):
        began = time.process_time()
        for _ in range(count if turn else 2000):
            client.write(data)
            server.read(4096)
        elapsed = time.process_time() - began
    print(f"{elapsed / count * 1e9:.2f}")


if __name__ == "__main__":
    main()
