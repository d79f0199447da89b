"""Events on their way in: the requests that store them, and what became of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import httpx

from pulka.clock import SystemClock
from pulka.surfaces.client.calls import Call
from pulka.surfaces.client.outgoing import bodies

__all__ = ["PAUSES_S", "Ingested", "parts"]

PAUSES_S = (0.2, 0.4, 0.8, 1.6, 3.2)
"""Before a part is sent again that the server could not take."""
_SAMPLES_MAX = 20


@dataclass(frozen=True)
class Ingested:
    """What became of events: `rejected` ones are told with line (from 1, within their request) and reason."""

    rows: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()

    def __add__(self, other: "Ingested") -> "Ingested":
        reasons = {name: self.reasons.get(name, 0) + other.reasons.get(name, 0) for name in {**self.reasons, **other.reasons}}
        return Ingested(self.rows + other.rows, self.rejected + other.rejected, reasons, (*self.samples, *other.samples)[:_SAMPLES_MAX])


@dataclass(frozen=True, slots=True)
class _Part(Call[Ingested]):
    """A body of which nothing could be kept is a problem that has the counts too."""

    def answer(self, response: httpx.Response) -> Ingested:
        if response.status_code == 400 and "rejected" in response.json():
            return self.read(response)
        return Call.answer(self, response)


def parts(table: str, data: Any) -> Iterator[Call[Ingested]]:
    """One request for some MB of events each; sent again, it is stored once."""
    call = SystemClock().random.randbytes(16)  # the same events sent twice on purpose are stored twice
    for number, body in enumerate(bodies(data)):
        key = blake2b(body, digest_size=16, key=call, salt=number.to_bytes(8, "big")).hexdigest()
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
        yield _Part("POST", f"/api/v1/ingest/{table}", _counts, {"content": body}, headers)


def _counts(response: httpx.Response) -> Ingested:
    told = response.json()
    return Ingested(told.get("rows", 0), told["rejected"], told.get("reasons", {}), told.get("samples", ()))
