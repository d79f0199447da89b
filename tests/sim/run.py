"""Plays seeds: `PYTHONHASHSEED=0 python -m tests.sim.run [--plant BUG] FIRST [LAST]`, one line of JSON each.

With planted bugs, one after the other, the first seed that finds one is its last. The hash seed must be fixed, because sets of strings have the
order it gives them.
"""

import argparse
import contextlib
import json
import sys
import traceback

from tests.sim.plants import PLANTS
from tests.sim.scenario import scenario
from tests.sim.world import play


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plant", choices=sorted(PLANTS), action="append", default=[])
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, nargs="?")
    given = parser.parse_args()
    seeds = range(given.first, (given.last or given.first) + 1, given.step)
    for plant in given.plant or [None]:
        for seed in seeds:
            outcome = one(seed, plant)
            print(json.dumps(outcome), flush=True)
            if plant and "violation" in outcome:
                break


def one(seed: int, plant: str | None) -> dict[str, object]:
    """What became of a seed: its digest and counts, or the violation with its trace."""
    patch, troubles = PLANTS[plant] if plant else (contextlib.nullcontext, ())
    with patch():
        try:
            digest, counts = play(scenario(seed, troubles))
        except Exception as error:
            return {"seed": seed, "plant": plant, "violation": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    return {"seed": seed, "plant": plant, "digest": digest, "counts": counts}


if __name__ == "__main__":
    sys.exit(main())
