"""The simulation is worth what it finds: each planted bug is found within so many seeds, each by itself."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.sim.plants import PLANTS

SEEDS = 150


@pytest.mark.parametrize("bug", sorted(PLANTS))
@pytest.mark.timeout(900)
def test_a_planted_bug_is_found(play: Callable[..., Iterator[dict[str, Any]]], seed: int | None, bug: str) -> None:
    if seed is not None:
        pytest.skip("one seed was asked for")
    outcomes = list(play(["--plant", bug, "1", str(SEEDS)]))
    assert "violation" in outcomes[-1], f"{SEEDS} seeds do not find it"
