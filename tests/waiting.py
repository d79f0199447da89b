"""Waiting for what comes about by itself: conditions instead of pauses, so that a slow machine is waited for and a fast one is not."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["latest", "until", "until_async"]

T = TypeVar("T")


def latest(ask: Callable[[], T], is_wanted: Callable[[T], object], seconds: float = 30) -> T:
    """The first answer that is wanted, or the last one after `seconds`: for an assertion that shows what is there instead."""
    end = time.monotonic() + seconds
    while not is_wanted(found := ask()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def until(ask: Callable[[], T], otherwise: Callable[[], object] | None = None, seconds: float = 60, *, is_wanted: Callable[[T], object] = bool) -> T:
    """The first answer that is wanted. AssertionError after `seconds`, with what `otherwise` says or the last answer."""
    found = latest(ask, is_wanted, seconds)
    assert is_wanted(found), otherwise() if otherwise else f"not in {seconds:g} s, but {found!r}"
    return found


async def until_async(ask: Callable[[], T], seconds: float = 30) -> T:
    """The same within an event loop, which goes on meanwhile."""
    end = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < end, "it does not come about"
        await asyncio.sleep(0.005)
    return found
