"""The template's side: it has imported all that queries need, and forks a process for each of them.

It has one thread, and nothing of any query is ever in it: a request is two sockets. Through the first the child gets all else; the second is its
leash, which stays here: it says the child's id, and its exit code in the end. Let go of by the server, the child is killed; as it is not waited for
before its end was seen, nobody else has its id by then. Children die with the template, and it ends with the server, or when nobody asked for long.
"""

import ctypes
import gc
import os
import selectors
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from pulka._native import text_words
from pulka.query.apart import child
from pulka.query.session import planning_session

__all__ = ["main"]

_IDLE_S = 600
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def main() -> None:
    """Fork what is asked for on the socket that is its standard input."""
    text_words("")
    planning_session()
    gc.freeze()  # a collection in a child would copy every page that has an object
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise SystemExit("a library has started a thread: its locks would be copied as they are")
    _Template(socket.socket(fileno=0)).serve()


class _Template:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pid = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._when_ready(control, self._fork)

    def serve(self) -> None:
        """One event at a time: what ended with the one before has none left."""
        while (found := self._selector.select(_IDLE_S)) or len(self._selector.get_map()) > 1:
            for key, _ in found[:1]:
                key.data()

    def _when_ready(self, source: socket.socket | int, act: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, act)

    def _fork(self) -> None:
        fds = socket.recv_fds(self._control, 1, 2)[1]
        if not fds:
            os._exit(0)  # the server is gone
        data, leash = fds[0], socket.socket(fileno=fds[1])
        try:
            pid = os.fork()
        except OSError:
            _tell(leash, 0)
        else:
            if not pid:
                self._become_child(data)
            self._hold(pid, leash)
        os.close(data)

    def _become_child(self, data: int) -> NoReturn:
        """In the child: nothing of the server or of other children stays open."""
        try:
            os.dup2(data, 0)
            os.dup2(data, 1)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == self._pid:
                child.main()
        finally:
            os._exit(1)

    def _hold(self, pid: int, leash: socket.socket) -> None:
        end = os.pidfd_open(pid)

        def let_go() -> None:
            self._selector.unregister(leash)
            os.kill(pid, signal.SIGKILL)

        def ended() -> None:
            _tell(leash, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            with suppress(KeyError):
                self._selector.unregister(leash)
            self._selector.unregister(end)
            leash.close()
            os.close(end)

        self._when_ready(leash, let_go)
        self._when_ready(end, ended)
        _tell(leash, pid)


def _tell(leash: socket.socket, number: int) -> None:
    with suppress(OSError):  # nobody listens any more
        leash.send(str(number).encode())
