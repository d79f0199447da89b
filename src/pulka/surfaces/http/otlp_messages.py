"""The few OTLP and google.rpc messages we answer with, written by hand: three fields do not need a protobuf library.

Wire format: https://protobuf.dev/programming-guides/encoding. The three Export*ServiceResponse messages share their
field numbers: partial_success = 1 { rejected_* = 1, error_message = 2 }.
"""

import msgspec

from pulka.errors import BadInput, PulkaError, Temporary, TooLarge
from pulka.intake import Outcome
from pulka.intake.ingest import Signal, Wire

__all__ = ["CODES", "export_response", "rpc_code", "rpc_status"]

_REJECTED: dict[Signal, str] = {
    "logs": "rejectedLogRecords",
    "traces": "rejectedSpans",
    "metrics": "rejectedDataPoints",
}
CODES = {"INVALID_ARGUMENT": 3, "RESOURCE_EXHAUSTED": 8, "INTERNAL": 13, "UNAVAILABLE": 14}
_RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"


def export_response(signal: Signal, wire: Wire, outcome: Outcome) -> bytes:
    """Export*ServiceResponse of `signal`; empty when everything was taken, as the specification asks."""
    message = _partial_message(outcome)
    if wire == "protobuf":
        partial = _varint(1, outcome.rejected) + _bytes(2, message.encode())
        return _bytes(1, partial)
    if not message:
        return b"{}"
    partial_json = {_REJECTED[signal]: str(outcome.rejected), "errorMessage": message}
    return msgspec.json.encode({"partialSuccess": partial_json})


def rpc_code(error: PulkaError) -> str:
    """The gRPC code. Without RetryInfo senders must not retry RESOURCE_EXHAUSTED, which is right for a body that is too large."""
    if isinstance(error, Temporary):
        return "UNAVAILABLE"
    if isinstance(error, TooLarge):
        return "RESOURCE_EXHAUSTED"
    return "INVALID_ARGUMENT" if isinstance(error, BadInput) else "INTERNAL"


def rpc_status(error: PulkaError, wire: Wire = "protobuf") -> bytes:
    """google.rpc.Status, with RetryInfo when the error is temporary (protobuf only; HTTP has Retry-After)."""
    code, message = CODES[rpc_code(error)], _sentence(error)
    if wire == "json":
        return msgspec.json.encode({"code": code, "message": message})
    status = _varint(1, code) + _bytes(2, message.encode())
    return status + _bytes(3, _retry_info(error.retry_after_s)) if isinstance(error, Temporary) else status


def _sentence(error: PulkaError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _partial_message(outcome: Outcome) -> str:
    if not outcome.rejected:
        return ""
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(outcome.reasons.items()))
    return f"rejected: {reasons}"


def _retry_info(seconds: float) -> bytes:
    whole = int(seconds)
    duration = _varint(1, whole) + _varint(2, int((seconds - whole) * 1e9))
    return _bytes(1, _RETRY_INFO) + _bytes(2, _bytes(1, duration))


def _varint(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _base128(value) if value else b""


def _bytes(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _base128(len(value)) + value if value else b""


def _base128(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
