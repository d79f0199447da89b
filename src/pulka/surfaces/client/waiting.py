"""Waiting, also where an event loop runs already."""

import asyncio
import threading

from pulka.clock import SystemClock

__all__ = ["rest"]


def rest(clock: SystemClock, seconds: float) -> None:
    """Sleep in this thread; a notebook's has a loop that runs, so the clock gets a thread with one of its own."""
    waiting = threading.Thread(target=lambda: asyncio.run(clock.sleep(seconds)))
    waiting.start()
    waiting.join()
