"""The child's side: plans and runs what it is asked, and dies with its parent."""

import os
import queue
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from datafusion import SessionContext
from datafusion.plan import ExecutionPlan

from pulka._native import text_words
from pulka.errors import PulkaError
from pulka.model.windows import TimeRange
from pulka.query import messages
from pulka.query.apart.messages import packed, received
from pulka.query.binding import Place, Prepared, bind, shown_schema
from pulka.query.limits import read_by
from pulka.query.planning import prepare
from pulka.query.schema import LogicalTable
from pulka.query.session import open_session
from pulka.query.source import Source
from pulka.query.text import plain

__all__ = ["main"]

_BESIDE_BYTES = 512 << 20
"""What batches between operators may take beside the engine's pool."""
_TOLD_S = 0.25
_NICE = 15
"""Of processes that give way: the kernel then gives each of their threads a thirtieth of what a thread of the server gets."""


def main() -> None:
    """Answer until the parent closes its end."""
    out = _Out(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever else prints
    memory_bytes, threads, spill, gives_way = received(sys.stdin.buffer)
    if gives_way:
        os.nice(_NICE)
    requests: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    child = _Child(memory_bytes, threads, Path(spill), out.send)
    _limit(child, memory_bytes + _BESIDE_BYTES)
    while True:
        what, *arguments = requests.get()
        for answer in child.answers(what, arguments):
            out.send(answer)


def _limit(child: "_Child", more_bytes: int) -> None:
    """Bound what is allocated from here on. Allocators and threads reserve far more than they use, once they have begun to work."""
    child.warm_up()
    status = Path("/proc/self/status")
    if status.exists():
        data_kib = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, ((data_kib << 10) + more_bytes,) * 2)


def _read(requests: "queue.Queue[Any]") -> None:
    """In a thread of its own: a query at work does not keep this process from seeing that its parent is gone."""
    while True:
        try:
            requests.put(received(sys.stdin.buffer))
        except EOFError:
            os._exit(0)


class _Out:
    """The way to the parent, for the answers and for what is told in between."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def send(self, value: object) -> None:
        with self._lock:
            self._stream.write(packed(value))
            self._stream.flush()


class _Child:
    def __init__(self, memory_bytes: int, threads: int, spill: Path, tell: Callable[[object], None]) -> None:
        self._settings = memory_bytes, threads, spill
        self._tell = tell
        self._ways: dict[str, Callable[..., Iterator[object]]] = {"prepare": self._prepare, "explain": self._explain, "run": self._run}

    def warm_up(self) -> None:
        """Make everything that is made once."""
        text_words("")
        self._open().sql("SELECT 1").collect()

    def answers(self, what: str, arguments: list[Any]) -> Iterator[object]:
        """What to send back: values, or the error they end with."""
        try:
            yield from self._ways[what](*arguments)
        except PulkaError as error:
            yield error
        except MemoryError:
            yield messages.out_of_memory()

    def _open(self) -> SessionContext:
        return open_session(*self._settings)

    def _prepare(self, statement: str, known: Mapping[str, LogicalTable], window: TimeRange, now_ns: int) -> Iterator[object]:
        yield prepare(self._open, statement, known, window, now_ns)

    def _explain(self, prepared: Prepared, sources: Sequence[Source], place: Place, window: TimeRange) -> Iterator[object]:
        yield _guarded(prepared, lambda: bind(self._open, prepared, sources, place, window).optimized_logical_plan().display_indent())

    def _run(self, prepared: Prepared, sources: Sequence[Source], place: Place, window: TimeRange) -> Iterator[object]:
        frame = _guarded(prepared, lambda: bind(self._open, prepared, sources, place, window))
        yield shown_schema(frame, prepared)
        stream = _guarded(prepared, frame.execute_stream)
        with self._telling(frame.execution_plan()):
            while (batch := _guarded(prepared, lambda: next(stream, None))) is not None:
                yield plain(batch.to_pyarrow())
        yield None

    @contextmanager
    def _telling(self, plan: ExecutionPlan) -> Iterator[None]:
        """Tell the parent now and then what was read."""
        done = threading.Event()

        def tell() -> None:
            while not done.wait(_TOLD_S):
                self._tell(read_by(plan))

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            done.set()
            teller.join()
            self._tell(read_by(plan))


def _guarded(prepared: Prepared, work: Any) -> Any:
    try:
        return work()
    except (PulkaError, MemoryError):
        raise
    except Exception as error:
        raise messages.translate(error, prepared.tables, prepared.functions) from error
