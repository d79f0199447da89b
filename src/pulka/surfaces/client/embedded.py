"""A lake in this process, in a thread of its own, behind a Unix socket that only this user can reach.

Considered: calling the engine directly. The socket costs microseconds, and whatever works here works against a server.
All lakes of a process share one thread and its loop, which end with the process.
"""

import asyncio
import shutil
import tempfile
import threading
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path

from pulka import config
from pulka.errors import Misconfigured

__all__ = ["Embedded"]


class Embedded:
    """Opened by the constructor, which raises what stands in the way; `socket` is where its API listens."""

    def __init__(self, directory: Path) -> None:
        self._settings = config.load({"state_dir": str(directory)})
        self._folder = tempfile.mkdtemp(prefix="pulka-")  # short: the path of a socket has at most 107 characters
        self.socket = str(Path(self._folder, "api"))
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._serving: Future[None] = asyncio.run_coroutine_threadsafe(self._serve(), _loop())
        self._serving.add_done_callback(lambda done: self._ready.set())
        self._ready.wait()
        if self._serving.done():
            self._fail()

    def close(self) -> None:
        """Flush and stop; what was acknowledged is kept in any case."""
        _loop().call_soon_threadsafe(self._stop.set)
        self._serving.exception()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _fail(self) -> None:
        self.close()
        failure = self._serving.exception()
        if isinstance(failure, Misconfigured) and "in use" in failure.message:
            raise Misconfigured(failure.message, hint="connect to its URL instead, as in pulka.connect('http://127.0.0.1:7710')") from None
        raise failure or RuntimeError("the lake ended at once")

    async def _serve(self) -> None:
        from pulka.app.serving import serve_socket

        await serve_socket(self._settings, self.socket, self._ready.set, self._stop)


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="pulka", daemon=True).start()
    return loop
