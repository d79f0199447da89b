"""Invariants 3 to 8 under many seeds. A seed that fails replays exactly: `python -m pytest tests/sim --seed N`."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.sim.conftest import shares

Play = Callable[..., Iterator[dict[str, Any]]]
HAPPENS = ("cuts", "catalogs lost", "acknowledged", "answers", "flushes", "merges", "conflicts", "collected", "fault catalog.publish.lost", "fault put.torn")


def check(outcomes: Iterator[dict[str, Any]]) -> Counter[str]:
    """No violation; what happened in all of them together."""
    counts: Counter[str] = Counter()
    wrong = []
    for outcome in outcomes:
        counts.update(outcome.get("counts", {}))
        if "violation" in outcome:
            wrong.append(outcome)
    if wrong:
        seeds = ", ".join(str(outcome["seed"]) for outcome in wrong)
        pytest.fail(f"seeds {seeds} fail; `python -m pytest tests/sim --seed {wrong[0]['seed']}` replays the first:\n{wrong[0]['trace']}", pytrace=False)
    return counts


@pytest.mark.timeout(1200)
def test_every_invariant_holds_whatever_goes_wrong(play: Play, seed: int | None) -> None:
    if seed is not None:
        check(play([str(seed)]))
        return
    counts = check(play(*shares(1, 200)))
    idle = [what for what in HAPPENS if not counts[what]]
    assert not idle, f"the simulation does not reach {idle}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_invariant_holds_for_thousands_of_seeds(play: Play, seed: int | None) -> None:
    if seed is None:
        check(play(*shares(1001, 3000)))


def test_a_seed_replays_exactly(play: Play, seed: int | None) -> None:
    if seed is None:
        first, second = play(["3", "6"], ["3", "6"]), play(["5", "6"])
        digests = [(outcome["seed"], outcome["digest"]) for outcome in [*first, *second]]
        assert len(set(digests)) == 4, digests
