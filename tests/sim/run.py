"""Plays seeds: `PYTHONHASHSEED=0 python -m tests.sim.run FIRST [LAST]` (inclusive), one line each."""

import sys
import time
import traceback

from tests.sim.scenario import scenario
from tests.sim.world import play

if __name__ == "__main__":
    first, last = int(sys.argv[1]), int(sys.argv[-1])
    for seed in range(first, last + 1):
        began = time.perf_counter()
        try:
            digest, counts = play(scenario(seed))
        except BaseException as error:
            print(seed, "FAIL", repr(error), flush=True)
            if first == last:
                traceback.print_exc()
            continue
        print(seed, digest, f"{time.perf_counter() - began:.2f}s", dict(counts), flush=True)
