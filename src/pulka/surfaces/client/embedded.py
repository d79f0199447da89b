"""A lake in this process, in a thread of its own, behind a Unix socket that only this user can reach.

Considered: calling the engine directly. The socket costs microseconds, and whatever works here works against a server.
"""

import asyncio
import shutil
import tempfile
import threading
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
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="pulka", daemon=True)
        self._thread.start()
        self._ready.wait()
        self._check()

    def close(self) -> None:
        """Flush and stop; what was acknowledged is kept in any case."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check(self) -> None:
        if self._failure is not None:
            self.close()
            raise _explained(self._failure)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from pulka.app import serve_socket

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve_socket(self._settings, self.socket, self._ready.set, self._stop)


def _explained(failure: BaseException) -> BaseException:
    if isinstance(failure, Misconfigured) and "in use" in failure.message:
        return Misconfigured(failure.message, hint="connect to its URL instead, as in pulka.connect('http://127.0.0.1:7710')")
    return failure
