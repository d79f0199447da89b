"""The parent's side: one process, asked one thing after the other."""

import asyncio
import pickle
from contextlib import suppress
from typing import Any, Protocol

import pyarrow as pa

from pulka.errors import PulkaError, Temporary
from pulka.query.apart.messages import HEAD_BYTES, packed
from pulka.query.messages import out_of_memory
from pulka.query.queries import Read

__all__ = ["Apart", "Child"]


class Child(Protocol):
    """A process that this one can end."""

    def kill(self) -> None:
        """Send it the signal that it cannot refuse. ProcessLookupError when it is gone."""
        ...

    async def wait(self) -> int | None:
        """Its exit code, negative for a signal, or None when nobody knows."""
        ...


class Apart:
    """A process for one query. It ends by `close`, or when this one does."""

    def __init__(self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._child, self._reader, self._writer = child, reader, writer
        self._read = Read()

    async def begun(self, *settings: object) -> "Apart":
        """Itself, once it has been told what `child.main` is to know first."""
        try:
            await self._send(settings)
        except BaseException:  # who waits for it may be cancelled
            self.close()
            raise
        return self

    async def ask(self, what: str, *arguments: object) -> Any:
        """What a function of `child.py` answers, or the error it raises."""
        await self._send((what, *arguments))
        return await self._answer()

    async def next(self) -> pa.RecordBatch | None:
        """The next batch of what was asked to run, or None at the end."""
        batch: pa.RecordBatch | None = await self._answer()
        return batch

    async def itself(self) -> "Apart":
        """What was asked to run runs already."""
        return self

    def read(self) -> Read:
        """What it said last of what it has read."""
        return self._read

    def close(self) -> None:
        """Kill it."""
        with suppress(ProcessLookupError):
            self._child.kill()
        self._writer.transport.abort()

    async def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.close()
        await self._child.wait()

    async def _ended(self) -> PulkaError:
        """Why it ended before its answer: what it cannot allocate, and a stack that is too deep, end it by a signal."""
        code = await self._child.wait()
        if code is None:
            return Temporary("the process of this query was ended from outside", hint="ask again; the system may be short of memory")
        if code < 0:
            return out_of_memory()
        return PulkaError("the process of this query ended in a way Pulka did not foresee", hint=f"its exit code is {code}: see that `python -c 'import pulka.query.apart.child'` works")

    async def _send(self, value: object) -> None:
        try:
            self._writer.write(packed(value))
            await self._writer.drain()
        except ConnectionError:
            raise await self._ended() from None

    async def _answer(self) -> Any:
        while isinstance(value := await self._received(), Read):
            self._read = value
        if isinstance(value, PulkaError):
            raise value
        return value

    async def _received(self) -> Any:
        try:
            head = await self._reader.readexactly(HEAD_BYTES)
            body = await self._reader.readexactly(int.from_bytes(head, "little"))
        except (asyncio.IncompleteReadError, ConnectionError):  # reset: it had not read all that it was asked
            raise await self._ended() from None
        return pickle.loads(body)  # noqa: S301 - both ends are this program
