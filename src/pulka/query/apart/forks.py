"""The server's side of the template and its children: plain sockets, so that both outlive the event loop that asked first."""

import asyncio
import socket
import subprocess
import weakref
from contextlib import ExitStack, suppress

from pulka.query.apart.start import command

__all__ = ["Forked", "Template"]

_NUMBER_BYTES_MAX = 16


class Template:
    """A process that forks others. It ends by `close`, when nobody holds this any more, and with this process."""

    def __init__(self) -> None:
        """Start it; it begins with what it is asked meanwhile once it has imported everything. OSError when there can be no process."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        with theirs:  # in a session of its own: Ctrl-C is for the server, which may have queries to end first
            process = subprocess.Popen(
                command("template"), stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )  # fmt: skip
        self.pid = process.pid
        self.close = weakref.finalize(self, _end, process, self._control)

    async def fork(self, data: socket.socket) -> "Forked | None":
        """A child whose standard input and output are `data`; None when there can be none now. OSError when the template is gone."""
        leash, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        leash.setblocking(False)
        with ExitStack() as undo:  # who waits for it may be cancelled
            undo.enter_context(leash)
            with theirs:
                socket.send_fds(self._control, [b"\0"], [data.fileno(), theirs.fileno()])
            pid = await _number(leash)
            if pid is None:
                raise ConnectionResetError
            if not pid:
                return None
            undo.pop_all()
        return Forked(pid, leash)


class Forked:
    """A child of a template, on its leash."""

    def __init__(self, pid: int, leash: socket.socket) -> None:
        self.pid = pid
        self._leash = leash
        self._told = asyncio.ensure_future(self._code())

    def kill(self) -> None:
        """Have the template kill it."""
        with suppress(OSError):  # it has ended
            self._leash.shutdown(socket.SHUT_WR)

    async def wait(self) -> int | None:
        """Its exit code, once it is gone: negative for a signal, None when the template has ended before it could say."""
        return await asyncio.shield(self._told)

    async def _code(self) -> int | None:
        with self._leash:
            return await _number(self._leash)


async def _number(leash: socket.socket) -> int | None:
    """What the template says next; None when it is gone."""
    said = await asyncio.get_running_loop().sock_recv(leash, _NUMBER_BYTES_MAX)
    return int(said) if said else None


def _end(process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
    control.close()
    process.kill()
    process.wait()
