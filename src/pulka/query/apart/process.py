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

__all__ = ["Apart"]

_ROOT = str(Path(__file__).parents[3])
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
_COMMAND = (sys.executable, "-P", "-c", _START)
"""The same interpreter and the same Pulka, however they were found; nothing from the working directory."""


class Apart:
    """A process for one query. It ends by `close`, or when this one does."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, memory_bytes: int, threads: int, spill: str) -> "Apart":
        """A process whose memory is bounded."""
        process = await asyncio.create_subprocess_exec(*_COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)  # out of memory is loud
        apart = cls(process)
        await apart._send((memory_bytes, threads, spill))
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

    def close(self) -> None:
        """Kill it."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.close()
        await self._process.wait()

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
        assert self._process.stdout is not None
        try:
            head = await self._process.stdout.readexactly(HEAD_BYTES)
            body = await self._process.stdout.readexactly(int.from_bytes(head, "little"))
        except asyncio.IncompleteReadError:
            raise await self._ended() from None
        value = pickle.loads(body)  # noqa: S301 - both ends are this program
        if isinstance(value, PulkaError):
            raise value
        return value
