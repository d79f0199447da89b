"""`patterns(message)`: the templates of messages with counts and a sample; `pattern(message)`: one message without what varies."""

from typing import Any

import pyarrow as pa
from datafusion import Accumulator

__all__ = ["TEMPLATES", "FoundPatterns", "shape"]

TEMPLATES = pa.list_(pa.struct([("pattern", pa.string()), ("count", pa.int64()), ("sample", pa.string())]))
"""What `patterns` gives: the most frequent first. Each message is counted in exactly one."""
_TEMPLATES_MAX = 1000
_SHAPE_BYTES_MAX = 1024


class FoundPatterns(Accumulator):  # type: ignore[misc]
    """Drain in the core; partial results are merged template by template."""

    def __init__(self) -> None:
        from pulka._native import Patterns  # only queries that ask for it need the native part

        self._inner = Patterns(_TEMPLATES_MAX)

    def update(self, *values: pa.Array) -> None:
        """Take rows."""
        self._inner.add(values[0])

    def merge(self, states: list[pa.Array]) -> None:
        """Take the states of others."""
        for state in states[0]:
            if state.is_valid:
                self._inner.merge(state.as_py())

    def state(self) -> list[pa.Scalar]:
        """What others merge."""
        return [pa.scalar(self._inner.state(), pa.binary())]

    def evaluate(self) -> pa.Scalar:
        """The result."""
        return pa.scalar([_row(one) for one in self._inner.templates()], TEMPLATES)


def _row(template: tuple[str, int, str]) -> dict[str, Any]:
    return dict(zip(("pattern", "count", "sample"), template, strict=True))


def shape(messages: pa.Array) -> pa.Array:
    """Per row the message with `<*>` in place of words that have digits."""
    from pulka._native import mask_texts

    return mask_texts(messages, _SHAPE_BYTES_MAX)
