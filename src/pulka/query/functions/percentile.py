"""`percentile(x, 0.95)`: DataFusion's own t-digest, which is fast and merges between threads.

`quantile_sketch`, `merge_sketches` and `sketch_quantile` keep a sketch as a value: percentiles over stored minutes, say, with a
relative error of half a percent, where a t-digest has none that could be told.
"""

from functools import lru_cache
from typing import Any

import pyarrow as pa
from datafusion import Accumulator

from pulka.errors import BadQuery

__all__ = ["Merged", "Sketch", "percentile", "sketch_quantile"]

_USAGE = "percentile(duration_ns, 0.95)"


def percentile(given: list[str]) -> str:
    """`approx_percentile_cont` under a name that is remembered."""
    if len(given) != 2:
        raise BadQuery("percentile takes a number and a share", hint=f"as in {_USAGE}")
    return f"approx_percentile_cont({given[0]}, {given[1]})"


class Sketch(Accumulator):  # type: ignore[misc]
    """`quantile_sketch(x)`: numbers as a sketch, which is a value to store and to merge."""

    def __init__(self) -> None:
        from pulka._native import Quantiles  # only queries with sketches need the native part

        self._inner = Quantiles()

    def update(self, *values: pa.Array) -> None:
        """Take rows."""
        self._inner.add(values[0].cast(pa.float64()))

    def merge(self, states: list[pa.Array]) -> None:
        """Take the states of others."""
        for state in states[0]:
            if state.is_valid:
                self._inner.merge(state.as_py())

    def state(self) -> list[pa.Scalar]:
        """What others merge."""
        return [self.evaluate()]

    def evaluate(self) -> pa.Scalar:
        """The result."""
        return pa.scalar(self._inner.state(), pa.binary())


class Merged(Sketch):
    """`merge_sketches(sketch)`: sketches as one."""

    def update(self, *values: pa.Array) -> None:
        """Take rows."""
        self.merge(list(values))


def sketch_quantile(sketches: pa.Array, shares: pa.Array) -> pa.Array:
    """The number that a share of a sketch's numbers does not exceed."""
    pairs = zip(sketches.to_pylist(), shares.to_pylist(), strict=True)
    return pa.array([None if one is None or q is None else _quantile(one, q) for one, q in pairs], pa.float64())


@lru_cache(maxsize=16)
def _opened(state: bytes) -> Any:
    from pulka._native import Quantiles

    found = Quantiles()
    found.merge(state)
    return found


def _quantile(state: bytes, q: float) -> float | None:
    found: float | None = _opened(state).quantile(q)
    return found
