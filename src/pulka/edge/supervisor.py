"""Keeps an agent running beside this process: in a process of its own, so that the end of the one is not the end of the other.

The agent (`pulka edge run --managed`) ends when its standard input does, which the kernel sees to when this process ends in whatever way; what it
has attached goes with it. On its standard output it tells its state, a JSON line at a time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pulka.seams import Clock

__all__ = ["OFF", "STARTING", "WATCHING", "Supervisor"]

STARTING, WATCHING, OFF = "starting", "watching", "off"
_PAUSE_S, _PAUSE_MAX_S = 1.0, 60.0
_STEADY_S = 60.0
"""Who ran for so long has not failed at starting."""
_END_S = 15.0
"""How long it may take to send the rest."""
_LINE_BYTES_MAX = 1 << 20

_log = logging.getLogger("pulka.edge")


class Supervisor:
    """Starts the agent, and again when it fails, with growing pauses; not when it says that it cannot work here."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], clock: "Clock") -> None:
        self._command, self._environment, self._clock = command, environment, clock
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._told: dict[str, Any] = {"state": STARTING}
        self.restarts = 0

    @property
    def told(self) -> dict[str, Any]:
        """What the agent said last: `state`, the `reason` when that is `off`, its `pid`, counters."""
        pid = {} if self._process is None else {"pid": self._process.pid}
        return {**self._told, **pid, "restarts": self.restarts}

    def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Let the agent send the rest, and end it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._process is not None:
            await _ended(self._process)
            self._process = None

    async def _run(self) -> None:
        pause_s = _PAUSE_S
        while True:
            began_s = self._clock.monotonic_s()
            try:
                ended = f"exit code {await self._once()}"
            except OSError as error:
                ended = f"{error.strerror}, before it began"
            if self._told["state"] == OFF:
                return _log.warning("the edge is off: %s", self._told.get("reason"))
            steady = self._clock.monotonic_s() - began_s > _STEADY_S
            pause_s = _PAUSE_S if steady else pause_s
            self.restarts += 1
            self._told = {"state": STARTING, "reason": f"it ended with {ended}, and is started again"}
            _log.warning("the edge ended with %s; it is started again in %.0f s", ended, pause_s)
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    async def _once(self) -> int:
        pipe = asyncio.subprocess.PIPE
        # A session of its own: Ctrl-C is for this process, which then ends the agent.
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=dict(self._environment), limit=_LINE_BYTES_MAX, start_new_session=True, stdin=pipe, stdout=pipe
        )  # fmt: skip
        assert self._process.stdout is not None, "a pipe"
        async for line in self._process.stdout:
            self._hear(line)
        code = await self._process.wait()
        self._process = None
        return code

    def _hear(self, line: bytes) -> None:
        before = self._told["state"]
        with contextlib.suppress(msgspec.DecodeError):
            self._told = {"state": before, **msgspec.json.decode(line, type=dict[str, Any])}
        if before != WATCHING and self._told["state"] == WATCHING:
            _log.info("the edge watches this host; `pulka services` and `pulka map` tell what it sees")


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Closing its input asks it to end."""
    assert process.stdin is not None, "a pipe"
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
