"""Every error Pulka raises on purpose, named by what the caller does next.

    PulkaError                      kind, message, hint
    ├── BadInput                    fix what you sent, then send it again             HTTP 400, exit 1
    │   ├── BadQuery                the SQL (or search) is wrong; the hint says where HTTP 400, exit 1
    │   └── TooLarge                send less at once                                 HTTP 413, exit 1
    ├── NotFound                    name something that exists; the hint is nearest   HTTP 404, exit 1
    ├── Denied                      use another key, or ask for the right             HTTP 403, exit 1
    ├── LimitExceeded               narrow the question or raise the named setting    HTTP 422, exit 1
    ├── Cancelled                   someone stopped it; ask again if it is wanted     HTTP 409, exit 1
    ├── Temporary                   wait `retry_after_s`, then send the same again    HTTP 503, exit 3
    │   └── Conflict                someone else committed first; read again, retry   HTTP 503, exit 3
    ├── Misconfigured               change the named setting or the machine           HTTP 500, exit 2
    └── Corrupt                     stored bytes are not what was written; see hint   HTTP 500, exit 4

The vocabulary of `kind` is closed: clients and agents may branch on it.
"""

from typing import ClassVar, Literal, get_args

__all__ = [
    "KINDS",
    "BadInput",
    "BadQuery",
    "Cancelled",
    "Conflict",
    "Corrupt",
    "Denied",
    "Kind",
    "LimitExceeded",
    "Misconfigured",
    "NotFound",
    "PulkaError",
    "Temporary",
    "TooLarge",
    "nearest",
]  # fmt: skip

Kind = Literal[
    "bad_input", "bad_query", "too_large", "not_found", "denied", "limit_exceeded", "cancelled", "temporary", "conflict",
    "misconfigured", "corrupt", "internal",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)


class PulkaError(Exception):
    """Base of all: one line for a person, a `kind` for a program, a hint that says what to do."""

    kind: ClassVar[Kind] = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, str]:
        """The form every surface prints: kind, message and hint."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint}


class BadInput(PulkaError):
    """What was sent cannot be taken as it is."""

    kind: ClassVar[Kind] = "bad_input"
    http_status: ClassVar[int] = 400
    exit_code: ClassVar[int] = 1


class BadQuery(BadInput):
    """The query does not parse, or names what does not exist. `span`: where in the text, as (first, behind last) character from 0."""

    kind: ClassVar[Kind] = "bad_query"

    def __init__(self, message: str, *, hint: str = "", span: tuple[int, int] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.span = span


class TooLarge(BadInput):
    """More bytes than a setting allows."""

    kind: ClassVar[Kind] = "too_large"
    http_status: ClassVar[int] = 413


class NotFound(PulkaError):
    """No such table, fragment or setting."""

    kind: ClassVar[Kind] = "not_found"
    http_status: ClassVar[int] = 404
    exit_code: ClassVar[int] = 1


class Denied(PulkaError):
    """The caller may not do this."""

    kind: ClassVar[Kind] = "denied"
    http_status: ClassVar[int] = 403
    exit_code: ClassVar[int] = 1


class LimitExceeded(PulkaError):
    """A query met one of its limits; the hint names the setting."""

    kind: ClassVar[Kind] = "limit_exceeded"
    http_status: ClassVar[int] = 422
    exit_code: ClassVar[int] = 1


class Cancelled(PulkaError):
    """A query was stopped on request before its answer was complete."""

    kind: ClassVar[Kind] = "cancelled"
    http_status: ClassVar[int] = 409
    exit_code: ClassVar[int] = 1


class Temporary(PulkaError):
    """Nothing is wrong with the request: the same one succeeds later."""

    kind: ClassVar[Kind] = "temporary"
    http_status: ClassVar[int] = 503
    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Conflict(Temporary):
    """An optimistic commit lost the race."""

    kind: ClassVar[Kind] = "conflict"


class Misconfigured(PulkaError):
    """A setting or the machine stands in the way."""

    kind: ClassVar[Kind] = "misconfigured"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 2


class Corrupt(PulkaError):
    """Stored bytes fail their checksum or their format."""

    kind: ClassVar[Kind] = "corrupt"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 4


def nearest(name: str, candidates: "list[str] | tuple[str, ...]") -> str:
    """`did you mean X?` for the closest candidates (at most three), or an empty string."""
    from difflib import get_close_matches

    by_folded = {candidate.lower(): candidate for candidate in candidates}
    close = get_close_matches(name.lower(), list(by_folded), n=3, cutoff=0.6)
    if not close:
        return ""
    return "did you mean " + " or ".join(f"`{by_folded[folded]}`" for folded in close) + "?"
