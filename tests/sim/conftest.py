"""`python -m pytest tests/sim --seed N` plays one seed; two processes share the others."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROCESSES = 2


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="play this seed of the simulation, and nothing else")


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int | None:
    """The one seed that was asked for."""
    return request.config.getoption("seed", None)


class Playing:
    """Processes that play seeds, in this order; their outcomes as they come."""

    def __init__(self, *arguments: list[str]) -> None:
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        self._running = [
            subprocess.Popen([sys.executable, "-m", "tests.sim.run", *some], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            for some in arguments
        ]

    def outcomes(self) -> Iterator[dict[str, Any]]:
        for process in self._running:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
            assert process.wait() == 0

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def play() -> Iterator[Callable[..., Iterator[dict[str, Any]]]]:
    """Outcomes of `tests.sim.run` with these arguments, one list for each process."""
    started: list[Playing] = []

    def start(*arguments: list[str]) -> Iterator[dict[str, Any]]:
        started.append(Playing(*arguments))
        return started[-1].outcomes()

    yield start
    for playing in started:
        playing.stop()


def shares(first: int, last: int) -> list[list[str]]:
    """The seeds of a range for each process."""
    return [["--step", str(PROCESSES), str(first + number), str(last)] for number in range(PROCESSES)]
