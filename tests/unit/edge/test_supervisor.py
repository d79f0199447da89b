"""The agent's keeper, with small programs in the agent's place."""

import asyncio
import os
import random
import sys
import time
from pathlib import Path

import pytest
from tests.processes import has_ended
from tests.waiting import until_async

from pulka.edge.supervisor import OFF, WATCHING, Supervisor

WATCHES = "import sys, json, os; print(json.dumps({'state': 'watching', 'transactions': 7}), flush=True); sys.stdin.read(); open(os.environ['ENDED'], 'w').write('orderly')"
CANNOT = "import json; print(json.dumps({'state': 'off', 'reason': 'no hooks here'})); raise SystemExit(2)"
FAILS = "import os; os.kill(os.getpid(), 9)"
CHATTERS = "print('not JSON'); print('[1]'); print('{\"state\": \"watching\"}', flush=True); import sys; sys.stdin.read()"
STUBBORN = "import time; print('{\"state\": \"watching\"}', flush=True); time.sleep(600)"


class Clock:
    """The real time, but waiting takes none of it, and is counted."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.001)


def supervisor(program: str, tmp_path: Path) -> tuple[Supervisor, Clock]:
    clock = Clock()
    return Supervisor([sys.executable, "-c", program], {**os.environ, "ENDED": str(tmp_path / "ended")}, clock), clock


async def test_it_tells_what_the_agent_says_and_ends_it_in_order(tmp_path: Path) -> None:
    kept, _ = supervisor(WATCHES, tmp_path)
    kept.start()
    await until_async(lambda: kept.told["state"] == WATCHING)
    pid = kept.told["pid"]
    assert kept.told == {"state": WATCHING, "transactions": 7, "pid": pid, "restarts": 0}
    await kept.close()
    assert has_ended(pid)
    assert (tmp_path / "ended").read_text() == "orderly"


async def test_one_that_cannot_work_here_is_not_started_again(tmp_path: Path) -> None:
    kept, clock = supervisor(CANNOT, tmp_path)
    kept.start()
    await until_async(lambda: kept.told["state"] == OFF)
    await until_async(lambda: kept._task is not None and kept._task.done())  # nothing is left that could start it
    assert (kept.told["reason"], kept.restarts, clock.slept) == ("no hooks here", 0, [])
    await kept.close()


async def test_one_that_fails_is_started_again_with_growing_pauses(tmp_path: Path) -> None:
    kept, clock = supervisor(FAILS, tmp_path)
    kept.start()
    await until_async(lambda: kept.restarts >= 8)
    await kept.close()
    assert clock.slept[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert "-9" in kept.told["reason"]


async def test_a_program_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    clock = Clock()
    kept = Supervisor([str(tmp_path / "absent")], {}, clock)
    kept.start()
    await until_async(lambda: kept.restarts >= 2)
    await kept.close()
    assert "No such file" in kept.told["reason"]


async def test_lines_that_are_no_state_are_passed_over(tmp_path: Path) -> None:
    kept, _ = supervisor(CHATTERS, tmp_path)
    kept.start()
    await until_async(lambda: kept.told["state"] == WATCHING)
    await kept.close()


async def test_one_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulka.edge.supervisor._END_S", 0.2)
    kept, _ = supervisor(STUBBORN, tmp_path)
    kept.start()
    await until_async(lambda: kept.told["state"] == WATCHING)
    pid = kept.told["pid"]
    await kept.close()
    assert has_ended(pid)


async def test_closing_one_that_never_started(tmp_path: Path) -> None:
    kept, _ = supervisor(WATCHES, tmp_path)
    await kept.close()
