"""Request bodies, read in chunks under the limit and the budget: no more than a chunk is ever held beyond either."""

from fastapi import Request

from pulka.errors import TooLarge
from pulka.intake import Intake

__all__ = ["content_type", "encoding_of", "read_body"]


async def read_body(request: Request, intake: Intake) -> bytes:
    """The whole body. TooLarge past `body_bytes_max`, Temporary past the budget.

    The claim ends here and intake claims the same bytes before it awaits anything, so nobody comes between.
    """
    limit = intake.settings.body_bytes_max
    _check(_declared_bytes(request), limit)
    chunks: list[bytes] = []
    with intake.admission.claim() as claim:
        async for chunk in request.stream():
            claim.grow(len(chunk))
            _check(claim.bytes, limit)
            chunks.append(chunk)
        return b"".join(chunks)


def encoding_of(request: Request) -> str:
    """Content-Encoding, folded."""
    return request.headers.get("content-encoding", "").strip().lower()


def content_type(request: Request) -> str:
    """The media type without its parameters, folded."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(f"the body is larger than {limit} bytes", hint="send less at once, or raise body_bytes_max")
