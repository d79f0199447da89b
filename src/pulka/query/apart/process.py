"""The parent's side: one process, asked one thing after the other."""

import asyncio
import pickle
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from pulka.errors import PulkaError
from pulka.query.apart.messages import HEAD_BYTES, packed
from pulka.query.messages import out_of_memory
from pulka.query.queries import Read

__all__ = ["Apart"]

_ROOT = str(Path(__file__).parents[3])
_NICE = 15
"""Of processes that give way: the kernel then gives each of their threads a thirtieth of what a thread of the server gets."""
_START = f"""
import sys

class WithoutPandas:  # pyarrow imports it wherever it is installed, which takes longer than all else
    def find_spec(name, *_):
        if name == "pandas":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, WithoutPandas)
sys.path.insert(0, {_ROOT!r})
from pulka.query.apart.child import main
main()
"""
_GIVING_WAY = f"import os; os.nice({_NICE}){_START}"
"""The same interpreter and the same Pulka, however they were found; nothing from the working directory (`-P`)."""


class Apart:
    """A process for one query. It ends by `close`, or when this one does."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._read = Read()

    @classmethod
    async def start(cls, memory_bytes: int, threads: int, spill: str, *, gives_way: bool = False) -> "Apart":
        """A process whose memory is bounded, and which others pass by if it gives way."""
        command = (sys.executable, "-P", "-c", _GIVING_WAY if gives_way else _START)
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)  # out of memory is loud
        apart = cls(process)
        try:
            await apart._send((memory_bytes, threads, spill))
        except BaseException:  # who waits for it may be cancelled
            apart.close()
            raise
        return apart

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
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def end(self) -> None:
        """Kill it, and wait until it is gone. What it wrote and nobody read would hide its end from asyncio."""
        self.close()
        await asyncio.gather(self._drained(), self._process.wait())

    async def _drained(self) -> None:
        assert self._process.stdout is not None
        while await self._process.stdout.read(1 << 20):
            pass

    async def _ended(self) -> PulkaError:
        """Why it ended before its answer: what it cannot allocate, and a stack that is too deep, end it by a signal."""
        code = await self._process.wait()
        if code < 0:
            return out_of_memory()
        return PulkaError("the process of this query ended in a way Pulka did not foresee", hint=f"its exit code is {code}: see that `python -c 'import pulka.query.apart.child'` works")

    async def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(packed(value))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise await self._ended() from None

    async def _answer(self) -> Any:
        while isinstance(value := await self._received(), Read):
            self._read = value
        if isinstance(value, PulkaError):
            raise value
        return value

    async def _received(self) -> Any:
        assert self._process.stdout is not None
        try:
            head = await self._process.stdout.readexactly(HEAD_BYTES)
            body = await self._process.stdout.readexactly(int.from_bytes(head, "little"))
        except asyncio.IncompleteReadError:
            raise await self._ended() from None
        return pickle.loads(body)  # noqa: S301 - both ends are this program
