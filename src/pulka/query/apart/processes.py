"""Starts a process for a query: a fork of a template, which takes milliseconds, or where that does not work a Python from its beginning."""

import asyncio
import logging
import socket
import sys
from asyncio.subprocess import DEVNULL
from contextlib import ExitStack

from pulka.query.apart.forks import Forked, Template
from pulka.query.apart.process import Apart, Child
from pulka.query.apart.start import command

__all__ = ["Processes"]

_TEMPLATES_MAX = 2
"""Tried for one query: the one there is may have been killed, or just have ended for want of work."""
_REST_S = 600.0
"""No template is tried for so long after they failed."""
_log = logging.getLogger(__name__)


class Processes:
    """Those of one lake. The template is started with the first of them, and ends by `close`, with the last reference, or with this process."""

    def __init__(self, *, forks: bool = sys.platform == "linux") -> None:
        """`forks`: whether the system can be trusted to copy a process in the midst of its work (macOS cannot)."""
        self._may_fork = forks
        self._resting_until_s = 0.0
        self._template: Template | None = None

    @property
    def forks(self) -> bool:
        """Whether a process takes milliseconds to start."""
        return self._may_fork and asyncio.get_running_loop().time() >= self._resting_until_s

    async def start(self, memory_bytes: int, threads: int, spill: str, *, gives_way: bool = False) -> Apart:
        """A process whose memory is bounded, and which others pass by if it gives way."""
        ours, theirs = socket.socketpair()
        with ExitStack() as undo:  # who waits for it may be cancelled
            undo.callback(ours.close)
            with theirs:
                child: Child = await self._forked(theirs) or await _anew(theirs)
            undo.callback(child.kill)
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            undo.pop_all()
        return await Apart(child, reader, writer).begun(memory_bytes, threads, spill, gives_way)

    def close(self) -> None:
        """End the template, and what it has started."""
        template, self._template = self._template, None
        if template is not None:
            template.close()

    async def _forked(self, data: socket.socket) -> Forked | None:
        if not self.forks:
            return None
        for _ in range(_TEMPLATES_MAX):
            try:
                template = self._template = self._template or Template()
                return await template.fork(data)
            except OSError:
                if self._template is template:
                    self.close()
        self._resting_until_s = asyncio.get_running_loop().time() + _REST_S
        _log.warning("no process can be forked for a query: for %g minutes each is started anew, half a second later", _REST_S / 60)
        return None


async def _anew(data: socket.socket) -> Child:
    return await asyncio.create_subprocess_exec(*command("child"), stdin=data.fileno(), stdout=data.fileno(), stderr=DEVNULL)  # out of memory is loud
