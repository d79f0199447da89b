"""The child's side: plans and runs what it is asked, and dies with its parent."""

import os
import queue
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datafusion import SessionContext

from pulka._native import text_words
from pulka.errors import PulkaError
from pulka.model.windows import TimeRange
from pulka.query import messages
from pulka.query.apart.messages import packed, received
from pulka.query.binding import Place, Prepared, bind
from pulka.query.planning import prepare
from pulka.query.schema import LogicalTable
from pulka.query.session import open_session
from pulka.query.source import Source
from pulka.query.text import plain

__all__ = ["main"]

_BESIDE_BYTES = 512 << 20
"""What batches between operators may take beside the engine's pool."""


def main() -> None:
    """Answer until the parent closes its end."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints
    requests: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    memory_bytes, threads, spill = requests.get()
    child = _Child(memory_bytes, threads, Path(spill))
    _limit(child, memory_bytes + _BESIDE_BYTES)
    while True:
        what, *arguments = requests.get()
        for answer in child.answers(what, arguments):
            out.write(packed(answer))
            out.flush()


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


class _Child:
    def __init__(self, memory_bytes: int, threads: int, spill: Path) -> None:
        self._settings = memory_bytes, threads, spill
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
        yield frame.schema()
        stream = _guarded(prepared, frame.execute_stream)
        while (batch := _guarded(prepared, lambda: next(stream, None))) is not None:
            yield plain(batch.to_pyarrow())
        yield None


def _guarded(prepared: Prepared, work: Any) -> Any:
    try:
        return work()
    except (PulkaError, MemoryError):
        raise
    except Exception as error:
        raise messages.translate(error, prepared.tables, prepared.functions) from error


if __name__ == "__main__":
    main()
