"""The addresses that the lake listens on."""

import contextlib
import socket

from pulka.app.lake import Lake
from pulka.config import Settings
from pulka.errors import Misconfigured
from pulka.surfaces.http.listener import listen
from pulka.surfaces.http.otlp_grpc import create_grpc_server

__all__ = ["bind_all", "listen_grpc", "url_of"]


def bind_all(settings: Settings, stack: contextlib.ExitStack) -> tuple[dict[str, socket.socket], list[str]]:
    """A socket for each HTTP address, and notes on those that another program has."""
    bound = {"http": stack.enter_context(_bind("http_listen", str(settings["http_listen"])))}
    address = str(settings["otlp_http_listen"])
    if address == "off":
        return bound, []
    try:
        bound["otlp_http"] = stack.enter_context(_bind("otlp_http_listen", address))
    except Misconfigured:
        return bound, _taken("otlp_http_listen", address, settings)
    return bound, []


def _taken(name: str, address: str, settings: Settings) -> list[str]:
    """A default address that another program has is a note; one the user asked for is an error."""
    sentence = f"{name}: {address} is taken by another program"
    if settings.origin(name) != "default":
        raise Misconfigured(sentence, hint=f"stop that program, or set {name} to another address or `off`")
    return [f"{sentence}; OTLP over HTTP is still taken at the HTTP address"]


def _bind(name: str, address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise Misconfigured(f"`{name}` is `{address}`", hint="it needs the form HOST:PORT")
    return listen(host.strip("[]"), int(port))


def url_of(sock: socket.socket) -> str:
    """The URL of what a socket listens on."""
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


async def listen_grpc(lake: Lake, stack: contextlib.AsyncExitStack, addresses: dict[str, str], notes: list[str]) -> None:
    """Listen for OTLP over gRPC as long as `stack` is open."""
    address = str(lake.settings["otlp_grpc_listen"])
    try:
        server, port = create_grpc_server(lake.services, address)
    except Misconfigured:
        notes += _taken("otlp_grpc_listen", address, lake.settings)
        return
    await server.start()
    stack.push_async_callback(server.stop, 5)
    addresses["otlp_grpc"] = f"{address.rpartition(':')[0]}:{port}"
