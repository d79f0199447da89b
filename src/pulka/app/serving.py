"""Runs a lake with its listeners, until it is told to stop."""

import asyncio
import contextlib
import importlib.util
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping

import uvicorn

from pulka.app.edge import open_edge, why_no_edge
from pulka.app.lake import Lake, open_lake
from pulka.app.listeners import bind_all, listen_grpc, url_of
from pulka.config import Settings
from pulka.surfaces.http.app import create_app
from pulka.surfaces.http.services import Services

__all__ = ["Announce", "run", "serve", "serve_socket"]

Announce = Callable[[dict[str, str], list[str]], None]
"""Told the addresses and notes once the lake listens."""


def run(settings: Settings, announce: Announce) -> None:
    """Run a lake with its listeners until SIGINT or SIGTERM."""
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(serve(settings, announce))


def _loop() -> asyncio.AbstractEventLoop:
    """uvloop where it exists: half the CPU per request of the standard loop."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def serve(settings: Settings, announce: Announce) -> None:
    """`run` within a loop."""
    logging.basicConfig(level=str(settings["log_level"]).upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    why_not = why_no_edge(settings)
    with contextlib.ExitStack() as sockets:
        bound, notes = bind_all(settings, sockets)
        async with open_lake(settings) as lake:
            if why_not and settings["edge_enabled"] != "off":
                notes = [*notes, f"the edge is off: {why_not}"]
            await _listen(lake, bound, [*notes, *lake.notes], announce, why_not)


async def serve_socket(settings: Settings, path: str, ready: Callable[[], None], stop: asyncio.Event) -> None:
    """A lake whose HTTP API listens on a Unix socket only, until `stop`; for one inside another program, whose signals are its own."""
    async with open_lake(settings) as lake:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.bind(path)
            sock.listen(128)
            http = _Server(_uvicorn_config(lake.services))
            serving = asyncio.create_task(http.serve(sockets=[sock]))
            ready()
            await stop.wait()
            if lake.services.tails:
                lake.services.tails.close()
            http.should_exit = True
            await serving


async def _listen(lake: Lake, bound: Mapping[str, socket.socket], notes: list[str], announce: Announce, why_not: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    http = _Server(_uvicorn_config(lake.services))
    serving = asyncio.create_task(http.serve(sockets=[bound[name] for name in ("http", "otlp_http") if name in bound]))
    addresses = {name: url_of(sock) for name, sock in bound.items()}
    async with contextlib.AsyncExitStack() as stack:
        if lake.settings["otlp_grpc_listen"] != "off":
            await listen_grpc(lake, stack, addresses, notes)
        announce(addresses, notes)
        edge = open_edge(lake, addresses["http"], why_not)
        await stop.wait()
        await edge.close()  # what it has not sent yet is still taken
        if lake.services.tails:
            lake.services.tails.close()
        http.should_exit = True
        await serving


def _uvicorn_config(services: Services) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(services), http="httptools", log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=10
    )  # fmt: skip


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: `serve` stops it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
