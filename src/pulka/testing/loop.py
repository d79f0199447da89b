"""An event loop without real time and without threads: what completes when is drawn from a seed, so every run repeats.

Callbacks that are ready run in the order asyncio promises. When none is, time jumps to the next timer. Work for a thread
runs in the loop itself, begun some turns or moments after it was asked for and answered some turns or moments later, so
that other tasks, or a crash, come between the asking, the doing and the knowing.

Considered: to shuffle the ready callbacks. It breaks the order that asyncio documents and its own primitives build on,
and finds schedules that cannot happen.
"""

import asyncio
import random  # noqa: TID251 - the type only
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["SimulatedLoop", "Stuck"]

_HOPS_MAX = 5
"""Turns of the loop that something may be late without any time passing."""
_SOON_S = (1e-5, 1e-2)
_SLOW_SHARE = 0.04


_Out = TypeVar("_Out")


class Stuck(Exception):
    """Nothing can run, and nothing ever will."""


class _Turns(selectors.SelectSelector):
    """Asked once per turn how long the loop may sleep."""

    def __init__(self, turn: Callable[[float | None], None]) -> None:
        super().__init__()
        self._turn = turn

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turn(timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """`turn` is called between any two turns; what it raises leaves `run_until_complete` at once, every task as it stands.

    So does what a thread raises that is no Exception: the end of the process in the middle of a thread's work.
    """

    def __init__(self, chance: random.Random, *, now_s: float = 0.0, slow_s: float = 0.2, turn: Callable[[], None] | None = None) -> None:
        self._chance = chance
        self._now_s = now_s
        self._slow_s = slow_s
        self._turn = turn or (lambda: None)
        self._at_once = False
        self._ending: BaseException | None = None
        self.turns = 0
        super().__init__(_Turns(self._pass))

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def _pass(self, timeout: float | None) -> None:
        self.turns += 1
        self._turn()
        if self._ending is not None:
            raise self._ending
        if timeout is None:
            raise Stuck("no task can run and no timer is set")
        self._now_s += max(timeout, 0.0)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run `func` here, later; as in a thread pool, it is left out when nobody waits any more before it begins."""
        answer: asyncio.Future[Any] = self.create_future()

        def work() -> None:
            if answer.done():
                return
            try:
                result = func(*args)
            except Exception as error:
                self.late(_settle, answer, None, error)
            except BaseException as error:
                self._ending = error
            else:
                self.late(_settle, answer, result, None)

        if self._at_once:
            answer.set_result(func(*args))
        else:
            self.late(work)
        return answer

    def at_once(self, work: Coroutine[Any, Any, _Out]) -> _Out:
        """The result of a coroutine that waits for nothing but threads, without a turn in between: for looking on."""
        self._at_once = True
        try:
            work.send(None)
        except StopIteration as done:
            result: _Out = done.value
            return result
        finally:
            self._at_once = False
        raise RuntimeError("it waits for something else than a thread")

    def late(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call back after some turns, a moment, or now and then quite a while."""
        drawn = self._chance.random()
        if drawn < _SLOW_SHARE:
            self.call_later(self._chance.uniform(0, self._slow_s), callback, *args)
        elif drawn < 0.5:
            self.call_later(self._chance.uniform(*_SOON_S), callback, *args)
        else:
            self._hop(self._chance.randrange(_HOPS_MAX), callback, *args)

    def _hop(self, turns: int, callback: Callable[..., Any], *args: Any) -> None:
        if turns:
            self.call_soon(self._hop, turns - 1, callback, *args)
        else:
            self.call_soon(callback, *args)


def _settle(answer: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)
