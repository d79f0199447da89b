"""The simulation is worth what it finds: each planted bug is found within so many seeds, each by itself."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.sim.conftest import PROCESSES
from tests.sim.plants import PLANTS

SEEDS = 60


@pytest.fixture(scope="module")
def found(play: Callable[..., Iterator[dict[str, Any]]], seed: int | None) -> dict[str, str]:
    """By bug, the violation that shows it."""
    if seed is not None:
        pytest.skip("one seed was asked for")
    bugs = sorted(PLANTS)
    shares = [[option for bug in bugs[number::PROCESSES] for option in ("--plant", bug)] for number in range(PROCESSES)]
    outcomes = play(*([*share, "1", str(SEEDS)] for share in shares))
    return {outcome["plant"]: outcome["violation"] for outcome in outcomes if "violation" in outcome}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("bug", sorted(PLANTS))
def test_a_planted_bug_is_found(found: dict[str, str], bug: str) -> None:
    assert bug in found, f"{SEEDS} seeds do not find it"
