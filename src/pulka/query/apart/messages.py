"""Values between the two processes: pickles, each behind its length."""

import pickle
from typing import IO, Any

__all__ = ["HEAD_BYTES", "packed", "received"]

HEAD_BYTES = 8


def packed(value: object) -> bytes:
    """A value with its length before it."""
    body = pickle.dumps(value, protocol=5)
    return len(body).to_bytes(HEAD_BYTES, "little") + body


def received(stream: IO[bytes]) -> Any:
    """The next value; EOFError when the other side is gone."""
    head = stream.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        raise EOFError
    return pickle.loads(stream.read(int.from_bytes(head, "little")))  # noqa: S301 - both ends are this program
