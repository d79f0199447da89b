"""The listening socket of the HTTP server."""

import socket

from pulka.errors import Misconfigured

__all__ = ["listen"]

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket for `uvicorn.Server.serve(sockets=[...])`; port 0 takes a free one.

    Accepted connections inherit TCP_NODELAY. Without it the second write of an answer (uvicorn sends headers and body
    apart) waits for the client's delayed acknowledgement: 40 ms per request, measured.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        sentence = f"cannot listen on {host}:{port}: {error.strerror}"
        raise Misconfigured(sentence, hint="name another address or port, or stop what holds it") from None
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
